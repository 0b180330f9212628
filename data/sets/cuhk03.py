"""CUHK03 (Li et al., CVPR 2014) from its authors' file, with hand-drawn ("labeled") or detected boxes.

It has five pairs of cameras. Camera 1 and 2 are the two of a pair, as in the lists of the new protocol. The new
protocol (Zhong et al., CVPR 2017) trains on 767 identities and tests on 700. The classic one tests on 100, in twenty
splits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from dsa_app.errors import DatasetError
from dsa_app.guard import guarded
from dsa_app.wording import SHOWN

from ..matlab import read_mat
from ..records import Entry
from .cuhk03_unpack import MAT, SOURCE, Unpacked, unpack
from .dataset import Count, Dataset, published
from .layout import check_disjoint

LISTS = (
    "Put cuhk03_new_protocol_config_labeled.mat and cuhk03_new_protocol_config_detected.mat into the same folder: they "
    "are in Zhong et al.'s repository person-re-ranking, under CUHK03-NP."
)
COUNTS = {
    "labeled": published((7368, 767), (1400, 700), (5328, 700)),
    "detected": published((7365, 767), (1400, 700), (5332, 700)),
}
PERSONS = 1467
COLUMNS, SPLITS = ("filelist", "labels", "camId"), ("train", "query", "gallery")
PAIR = 1000  # a pid is 1000 times the pair of cameras, plus the person's number in that pair


@dataclasses.dataclass(frozen=True)
class NewProtocol:
    """The new protocol's list for one kind of boxes: file, identity, camera and split of each image."""

    files: list[str]
    pids: list[int]
    camids: list[int]
    splits: list[str]


def read_new_protocol(path: Path) -> NewProtocol:
    """Read `cuhk03_new_protocol_config_*.mat` (MATLAB 5; indices count from 1).

    Raises:
        DatasetError: if it is missing, damaged or another file, or does not put every image into one split.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing. {LISTS}")
    problem, remedy = "is not the new protocol's list", f"Download it again. {LISTS}"
    content = read_mat(path, [*COLUMNS, *(f"{split}_idx" for split in SPLITS)], DatasetError, problem, remedy)
    with guarded(DatasetError, path, problem, remedy):
        files = [str(name) for name in content["filelist"].ravel()]
        pids, camids = (content[name].ravel().astype(int).tolist() for name in ("labels", "camId"))
        splits = np.full(len(files), "", dtype="<U7")
        listed = 0
        for split in SPLITS:
            indices = content[f"{split}_idx"].ravel().astype(int) - 1
            if len(indices) and not 0 <= indices.min() <= indices.max() < len(files):
                raise IndexError(f"{split}_idx points outside the list")
            splits[indices] = split
            listed += len(indices)
    if not files:
        raise DatasetError(f"{path} lists no image. {LISTS}")
    if listed != len(files) or "" in splits or not len(pids) == len(camids) == len(files):
        raise DatasetError(f"{path} does not put each of its {len(files)} images into exactly one split. {LISTS}")
    return NewProtocol(files, pids, camids, splits.tolist())


def scan_new(root: Path, boxes: str) -> list[Entry]:
    """Return all entries under the new protocol; unpacks the images first. Raises DatasetError or BusyError."""
    protocol = read_new_protocol(root / f"cuhk03_new_protocol_config_{boxes}.mat")
    unpacked = unpack(root, boxes)
    missing = sorted(set(protocol.files) - set(unpacked.names))
    if missing:
        raise DatasetError(
            f"{root / MAT} lacks {len(missing)} of the {len(protocol.files)} images that the protocol lists, first "
            f"{missing[0][:SHOWN]}. The list and the file are not of the same release. {SOURCE}"
        )
    listed = zip(protocol.files, protocol.pids, protocol.camids, protocol.splits, strict=True)
    entries = [Entry(f"{unpacked.folder}/{name}", split, pid, camid) for name, pid, camid, split in listed]
    check_disjoint(entries, root)
    return entries


def scan_classic(root: Path, boxes: str) -> list[Entry]:
    """Return all entries under the first classic split; unpacks the images first."""
    unpacked = unpack(root, boxes)
    return _classic(unpacked, unpacked.testsets[0])


def classic_splits(root: Path, boxes: str) -> dict[str, list[Entry]]:
    """Return all entries under every classic split, by its name: split00, split01, ... ."""
    unpacked = unpack(root, boxes)
    return {f"split{number:02}": _classic(unpacked, tested) for number, tested in enumerate(unpacked.testsets)}


def _classic(unpacked: Unpacked, tested: Iterable[tuple[int, int]]) -> list[Entry]:
    """Return all entries: a tested person's camera 1 is query, camera 2 gallery; all other persons are train."""
    persons = set(tested)
    entries = []
    for name in unpacked.names:
        pair, person, camera, _ = (int(part) for part in name.removesuffix(".png").split("_"))
        split = ("query" if camera == 1 else "gallery") if (pair, person) in persons else "train"
        entries.append(Entry(f"{unpacked.folder}/{name}", split, pair * PAIR + person, camera))
    return entries


SETS = {
    f"cuhk03-{boxes}": Dataset(
        partial(scan_new, boxes=boxes),
        f"CUHK03, {boxes} boxes, new protocol",
        f"{SOURCE} {LISTS}",
        "cuhk03",
        COUNTS[boxes],
        cameras=2,
    )
    for boxes in COUNTS
} | {
    f"cuhk03-classic-{boxes}": Dataset(
        partial(scan_classic, boxes=boxes),
        f"CUHK03, {boxes} boxes, the first of the classic splits",
        SOURCE,
        "cuhk03",
        total=Count(sum(count.images or 0 for count in COUNTS[boxes].values()), PERSONS),
        cameras=2,
        gallery="single-shot",
        protocols=partial(classic_splits, boxes=boxes),
    )
    for boxes in COUNTS
}
