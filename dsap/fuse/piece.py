"""A worker's job: some groups of images fused, and their evidence and surfaces written as one piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsa_app.errors import ImageError, StoreError
from dsa_data import images
from dsa_data.records import read_listed
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces
from dsa_data.stores.surfaces import Surface

from ..plan import WarpItem, inputs_digest
from .exchange import LIMBS
from .person import Evidence, fuse, judge_alone
from .plan import Group
from .turns import Turn, no_clue

FIELDS = ("across", "near", "nearer", "probability")
TURN_FIELDS = ("head", "torso", "limbs", "probability")


@dataclass(frozen=True)
class FuseJob:
    """Some groups, with all that a worker needs.

    Attributes:
        root, iuv: the dataset's folder and the store of the maps, absolute.
        size: S.
        turned: share of all maps that are turned around; 0 if they are not looked for.
    """

    root: Path
    iuv: Path
    size: int
    turned: float
    groups: tuple[Group, ...]

    def __len__(self) -> int:
        return sum(len(group.items) for group in self.groups)

    @property
    def name(self) -> str:
        """The piece's name: a digest of its inputs, so that an existing piece is never taken for another."""
        return inputs_digest(WarpItem(i.key, group.key, i.map_digest) for group in self.groups for i in group.items)[
            :32
        ]


def make_piece(job: FuseJob, pieces: Pieces) -> FuseJob:
    """Write the piece of `job` unless it exists, and return the job.

    Raises ImageError or StoreError, with the image's name, if an image or its map is not the planned one.
    """
    if pieces.has(job.name):
        return job
    file = job.iuv.stat()
    maps = _open(job.iuv, (file.st_ino, file.st_mtime_ns))
    evidence, turns, surfaces = [], [], []
    for group in job.groups:
        read = [_read_map(item, maps) for item in group.items]
        if group.key:
            crops = [_read_image(item, job.root, iuv) for item, iuv in zip(group.items, read, strict=True)]
            fused = fuse(crops, read, job.size, job.turned)
            evidence += fused.evidence
            turns += fused.turns
            surfaces.append(fused.surface)
        else:
            evidence += [judge_alone(iuv) for iuv in read]
            turns += [no_clue(job.turned) for _ in read if job.turned]
    arrays = {"turns": np.array([[getattr(one, f) for f in TURN_FIELDS] for one in turns])} if job.turned else {}
    shape = (24, job.size, job.size)
    pieces.write(
        job.name,
        evidence=np.array([[[getattr(one[limbs], f) for f in FIELDS] for limbs in LIMBS] for one in evidence]),
        mean=np.array([surface.mean for surface in surfaces], np.uint8).reshape(-1, *shape, 3),
        spread=np.array([surface.spread for surface in surfaces], np.uint8).reshape(-1, *shape),
        count=np.array([surface.count for surface in surfaces], np.uint16).reshape(-1, *shape),
        **arrays,
    )
    return job


def read_evidence(job: FuseJob, pieces: Pieces) -> Iterator[tuple[str, dict[str, Evidence], Turn | None]]:
    """Yield of each image of a piece its key, what is known of its limbs, and whether it is turned around.

    The last is None if that was not looked for. Raises StoreError if the piece is damaged.
    """
    piece = pieces.read(job.name)
    keys = [item.key for group in job.groups for item in group.items]
    turns = [Turn(*row) for row in piece["turns"].tolist()] if job.turned else [None] * len(keys)
    for key, of_image, turn in zip(keys, piece["evidence"].tolist(), turns, strict=True):
        yield key, {limbs: Evidence(*row) for limbs, row in zip(LIMBS, of_image, strict=True)}, turn


def read_surfaces(job: FuseJob, pieces: Pieces) -> Iterator[Surface]:
    """Yield the surfaces of a piece, one for each group with a key. Raises StoreError if it is damaged."""
    piece = pieces.read(job.name)
    for arrays in zip(piece["mean"], piece["spread"], piece["count"], strict=True):
        yield Surface(*arrays)


def _read_map(item: WarpItem, maps: IuvStore) -> np.ndarray:
    index = maps.index(item.key)
    if maps.checksums[index] != item.map_digest:
        raise StoreError(f"{maps.path} was replaced while it was read. Run again; the pieces that are done are kept.")
    return maps.read(index).iuv


def _read_image(item: WarpItem, root: Path, iuv: np.ndarray) -> np.ndarray:
    path = root / item.key
    image = images.decode(read_listed(root, item.key, item.digest), path)
    if image.shape != iuv.shape:
        raise ImageError(f"{path} and its map differ in size. Make the maps again: densepose-extract run.")
    return image


@lru_cache(maxsize=1)
def _open(iuv: Path, identity: tuple[int, int]) -> IuvStore:
    """Open the maps once a process. A worker may outlive a run: `identity` distinguishes files of the same path."""
    return IuvStore(iuv)
