"""A worker's share of the warp: a group of pictures, decoded, warped, compressed and written as one piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsa_app.errors import ImageError, StoreError
from dsa_data import images
from dsa_data.records import read_listed
from dsa_data.stores.dsap import Chunk, pack
from dsa_data.stores.header import digest_of
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces

from .coarse import crop
from .config import WarpConfig
from .warp import warp


@dataclasses.dataclass(frozen=True)
class Task:
    """One picture to warp.

    Args:
        key: path under the dataset's root.
        digest: SHA-256 that the picture's bytes must have.
        map: SHA-256 that its I, U, V map must have.
    """

    key: str
    digest: str
    map: str


@dataclasses.dataclass(frozen=True)
class Share:
    """A group of pictures, and all that a worker, here or on another machine, needs to make a piece of them.

    Paths are absolute. The piece's name tells its content, so that a piece found later is never taken for another.
    """

    root: Path
    iuv: Path
    config: WarpConfig
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def name(self) -> str:
        """The piece's name."""
        return inputs_of(self.tasks)[:32]


def inputs_of(tasks: Iterable[Task]) -> str:
    """Return the SHA-256 over all that tasks read, in hexadecimal."""
    return digest_of(f"{task.key} {task.digest} {task.map}" for task in tasks)


def make(share: Share, pieces: Pieces) -> Share:
    """Write the piece of `share` unless it is there, and return the share.

    Raises ImageError or StoreError, with the picture's name, if a picture or its map is not what was listed.
    """
    if not pieces.has(share.name):
        file = share.iuv.stat()
        maps = _open(share.iuv, (file.st_ino, file.st_mtime_ns))
        chunks = [_chunk(share.root, maps, task, share.config) for task in share.tasks]
        pieces.write(share.name, **_joined(chunks))
    return share


def read(share: Share, pieces: Pieces) -> Iterator[Chunk]:
    """Yield the chunks of a piece in the order of its tasks. Raises StoreError if it is damaged."""
    piece = pieces.read(share.name)
    texels, valid = _split(piece["texels"], piece["texel_bytes"]), _split(piece["valid"], piece["valid_bytes"])
    for place, task in enumerate(share.tasks):
        checksum, count = int(piece["checksum"][place]), piece["count"][place]
        yield Chunk(next(texels), next(valid), checksum, count, task.digest, task.map)


def _chunk(root: Path, maps: IuvStore, task: Task, config: WarpConfig) -> Chunk:
    path = root / task.key
    data = read_listed(root, task.key, task.digest)
    found = maps.read(maps.index(task.key))
    if maps.checksums[maps.index(task.key)] != task.map:
        raise StoreError(f"{maps.path} was replaced while it was read. Run again; what was done is kept.")
    picture = images.decode(data, path)
    try:
        if config.parts == "coarse":
            texels, valid = crop(picture, found.iuv, config.size)
        else:
            texels, valid = warp(picture, found.iuv, config.size, config.collision)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    return pack(texels, valid, task.digest, task.map)


@lru_cache(maxsize=1)
def _open(iuv: Path, identity: tuple[int, int]) -> IuvStore:
    """Open the maps once a process; `identity` tells files apart in a process that outlives one build."""
    return IuvStore(iuv)


def _joined(chunks: Sequence[Chunk]) -> dict[str, np.ndarray]:
    return {
        "texels": np.frombuffer(b"".join(chunk.texels for chunk in chunks), np.uint8),
        "texel_bytes": np.array([len(chunk.texels) for chunk in chunks]),
        "valid": np.frombuffer(b"".join(chunk.valid for chunk in chunks), np.uint8),
        "valid_bytes": np.array([len(chunk.valid) for chunk in chunks]),
        "checksum": np.array([chunk.checksum for chunk in chunks], np.uint32),
        "count": np.array([chunk.count for chunk in chunks]),
    }


def _split(whole: np.ndarray, lengths: np.ndarray) -> Iterator[bytes]:
    end = np.cumsum(lengths)
    for start, stop in zip(end - lengths, end, strict=True):
        yield whole[start:stop].tobytes()
