"""A worker's job: a group of images decoded, warped, compressed and written as one piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsa_app.errors import ImageError, StoreError
from dsa_data import images
from dsa_data.records import read_listed
from dsa_data.stores.dsap import Chunk, SureChunk, chart_image, pack, version_for
from dsa_data.stores.iuv import IuvMap, IuvStore
from dsa_data.stores.pieces import Pieces

from .coarse import crop, crop_sure
from .config import WarpConfig
from .plan import WarpItem, inputs_digest
from .warp import warp, warp_sure


@dataclasses.dataclass(frozen=True)
class WarpJob:
    """A group of images, with all that a worker on this or another machine needs to make a piece of them.

    Attributes:
        root: the dataset's folder, absolute.
        iuv: the store of the maps, absolute.
        config: of the warp.
        items: the images.
        confidence: whether the chunks have confidences.
    """

    root: Path
    iuv: Path
    config: WarpConfig
    items: tuple[WarpItem, ...]
    confidence: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @property
    def name(self) -> str:
        """The piece's name: a digest of its inputs, so that an existing piece is never taken for another.

        It has the format's version too: a piece of an older one lacks some of a chunk.
        """
        return f"{inputs_digest(self.items)[:32]}-v{version_for(self.confidence)}"


def make_piece(job: WarpJob, pieces: Pieces) -> WarpJob:
    """Write the piece of `job` unless it exists, and return the job.

    Raises ImageError or StoreError, with the image's name, if an image or its map is not the planned one.
    """
    if not pieces.has(job.name):
        file = job.iuv.stat()
        maps = _open(job.iuv, (file.st_ino, file.st_mtime_ns))
        chunks = [warp_item(item, job.root, maps, job.config) for item in job.items]
        pieces.write(job.name, **_arrays(chunks))
    return job


def read_piece(job: WarpJob, pieces: Pieces) -> Iterator[Chunk]:
    """Yield the chunks of a piece in the order of its items. Raises StoreError if it is damaged."""
    piece = pieces.read(job.name)
    texels, valid = _split(piece["texels"], piece["texel_bytes"]), _split(piece["valid"], piece["valid_bytes"])
    charts = _split(piece["charts"], piece["chart_bytes"])
    sure = _sure_chunks(piece) if job.confidence else None
    for index, item in enumerate(job.items):
        height, width = piece["chart_shape"][index].tolist()
        yield Chunk(
            next(texels),
            next(valid),
            int(piece["checksum"][index]),
            piece["count"][index],
            item.digest,
            item.map_digest,
            next(charts),
            (height, width),
            int(piece["chart_checksum"][index]),
            next(sure) if sure else None,
        )


def _sure_chunks(piece: dict[str, np.ndarray]) -> Iterator[SureChunk]:
    """Yield the confidences of a piece in the order of its items."""
    texels = _split(piece["confidence"], piece["confidence_bytes"])
    charts = _split(piece["chart_confidence"], piece["chart_confidence_bytes"])
    checksums = piece["confidence_checksum"].tolist(), piece["chart_confidence_checksum"].tolist()
    for of_texels, checksum, of_charts, chart_checksum in zip(texels, checksums[0], charts, checksums[1], strict=True):
        yield SureChunk(of_texels, checksum, of_charts, chart_checksum)


def warp_item(item: WarpItem, root: Path, maps: IuvStore, config: WarpConfig) -> Chunk:
    """Return the compressed part images of one image. Raises ImageError or StoreError, see `make_piece`.

    Where the maps have confidences, so do each texel and each pixel of the chart image.
    """
    path = root / item.key
    data = read_listed(root, item.key, item.digest)
    index = maps.index(item.key)
    iuv_map = maps.read(index)
    iuv = iuv_map.iuv
    if maps.checksums[index] != item.map_digest:
        raise StoreError(f"{maps.path} was replaced while it was read. Run again; the pieces that are done are kept.")
    image = images.decode(data, path)
    of_texels = of_charts = None
    try:
        if maps.confidence != "none":
            of_charts = pixel_confidence(iuv_map)
            if config.parts == "coarse":
                texels, valid, of_texels = crop_sure(image, iuv, of_charts, config.size)
            else:
                texels, valid, of_texels = warp_sure(image, iuv, of_charts, config.size, config.collision, iuv_map.fine)
        elif config.parts == "coarse":
            texels, valid = crop(image, iuv, config.size)
        else:
            texels, valid = warp(image, iuv, config.size, config.collision, iuv_map.fine)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    return pack(texels, valid, chart_image(iuv), item.digest, item.map_digest, of_texels, of_charts)


def pixel_confidence(iuv_map: IuvMap) -> np.ndarray:
    """Return the confidence of each pixel of a map, uint8 (H, W).

    Where a map has one number for the image, it is that of every pixel; 255 if that is not known, since nothing is
    held against the map. 0 for a map without a body.
    """
    if iuv_map.confidence is not None:
        return iuv_map.confidence
    known = not np.isnan(iuv_map.image_confidence)
    value = round(255 * iuv_map.image_confidence) if known else 255
    return np.full(iuv_map.iuv.shape[:2], value if iuv_map.iuv[..., 0].any() else 0, np.uint8)


@lru_cache(maxsize=1)
def _open(iuv: Path, identity: tuple[int, int]) -> IuvStore:
    """Open the maps once a process. A worker may outlive a build: `identity` distinguishes files of the same path."""
    return IuvStore(iuv)


def _arrays(chunks: Sequence[Chunk]) -> dict[str, np.ndarray]:
    """Return chunks as arrays, compressed bytes end to end."""
    return {
        "texels": np.frombuffer(b"".join(chunk.texels for chunk in chunks), np.uint8),
        "texel_bytes": np.array([len(chunk.texels) for chunk in chunks]),
        "valid": np.frombuffer(b"".join(chunk.valid for chunk in chunks), np.uint8),
        "valid_bytes": np.array([len(chunk.valid) for chunk in chunks]),
        "checksum": np.array([chunk.checksum for chunk in chunks], np.uint32),
        "count": np.array([chunk.count for chunk in chunks]),
        "charts": np.frombuffer(b"".join(chunk.charts for chunk in chunks), np.uint8),
        "chart_bytes": np.array([len(chunk.charts) for chunk in chunks]),
        "chart_shape": np.array([chunk.chart_shape for chunk in chunks]),
        "chart_checksum": np.array([chunk.chart_checksum for chunk in chunks], np.uint32),
        **_sure_arrays([chunk.sure for chunk in chunks if chunk.sure]),
    }


def _sure_arrays(chunks: Sequence[SureChunk]) -> dict[str, np.ndarray]:
    if not chunks:
        return {}
    return {
        "confidence": np.frombuffer(b"".join(chunk.texels for chunk in chunks), np.uint8),
        "confidence_bytes": np.array([len(chunk.texels) for chunk in chunks]),
        "confidence_checksum": np.array([chunk.checksum for chunk in chunks], np.uint32),
        "chart_confidence": np.frombuffer(b"".join(chunk.charts for chunk in chunks), np.uint8),
        "chart_confidence_bytes": np.array([len(chunk.charts) for chunk in chunks]),
        "chart_confidence_checksum": np.array([chunk.chart_checksum for chunk in chunks], np.uint32),
    }


def _split(joined: np.ndarray, lengths: np.ndarray) -> Iterator[bytes]:
    """Yield the byte strings of these lengths that `joined` consists of."""
    ends = np.cumsum(lengths)
    for start, end in zip(ends - lengths, ends, strict=True):
        yield joined[start:end].tobytes()
