"""CUHK03 (Li et al., CVPR 2014) from its authors' file, with hand-drawn ("labeled") or detected boxes.

Five pairs of cameras; as in the lists of the new protocol, camera 1 and 2 are those of a pair. The new protocol (Zhong
et al., CVPR 2017) trains on 767 identities and tests on 700; the classic one tests on 100, in twenty splits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from dsa_app.errors import DatasetError

from ..records import Entry
from .cuhk03_unpack import MAT, SOURCE, Unpacked, unpack
from .dataset import Count, Dataset, published
from .layout import check_disjoint

LISTS = (
    "Put cuhk03_new_protocol_config_labeled.mat and ..._detected.mat into the same folder: they are in Zhong et al.'s "
    "repository person-re-ranking, under CUHK03-NP."
)
COUNTS = {
    "labeled": published((7368, 767), (1400, 700), (5328, 700)),
    "detected": published((7365, 767), (1400, 700), (5332, 700)),
}
PERSONS = 1467
PAIR = 1000  # a person's number in its pair of cameras stays below


@dataclasses.dataclass(frozen=True)
class NewProtocol:
    """The new protocol's list of one kind of boxes: of each picture its file, identity, camera and split."""

    files: list[str]
    pids: list[int]
    camids: list[int]
    splits: list[str]


def read_new_protocol(path: Path) -> NewProtocol:
    """Read `cuhk03_new_protocol_config_*.mat` (MATLAB 5; indices count from 1).

    Raises:
        DatasetError: if it is missing, damaged or another file, or does not put every picture into one split.
    """
    from scipy.io import loadmat  # slow to import, and nothing else needs it

    if not path.is_file():
        raise DatasetError(f"{path} is missing. {LISTS}")
    try:
        found = loadmat(path)
        files = [str(cell.item()) for cell in found["filelist"].ravel()]
        pids, camids = (found[name].ravel().astype(int).tolist() for name in ("labels", "camId"))
        splits = np.full(len(files), "", dtype="<U7")
        listed = 0
        for split in ("train", "query", "gallery"):
            places = found[f"{split}_idx"].ravel().astype(int) - 1
            splits[places] = split
            listed += len(places)
    except (KeyError, ValueError, TypeError, IndexError, OSError, NotImplementedError) as error:
        raise DatasetError(f"{path} is not the new protocol's list ({error}). Fetch it again. {LISTS}") from None
    if listed != len(files) or "" in splits or not len(pids) == len(camids) == len(files):
        raise DatasetError(f"{path} does not put each of its {len(files)} pictures into one split. {LISTS}")
    return NewProtocol(files, pids, camids, splits.tolist())


def scan_new(root: Path, boxes: str) -> list[Entry]:
    """List the pictures under the new protocol, unpacking them first. Raises DatasetError or BusyError."""
    protocol = read_new_protocol(root / f"cuhk03_new_protocol_config_{boxes}.mat")
    found = unpack(root, boxes)
    missing = sorted(set(protocol.files) - set(found.names))
    if missing:
        raise DatasetError(
            f"{root / MAT} lacks {len(missing)} of the {len(protocol.files)} pictures that the protocol lists, first "
            f"{missing[0]}. List and file belong together. {SOURCE}"
        )
    listed = zip(protocol.files, protocol.pids, protocol.camids, protocol.splits, strict=True)
    entries = [Entry(f"{found.folder}/{name}", split, pid, camid) for name, pid, camid, split in listed]
    check_disjoint(entries, root)
    return entries


def scan_classic(root: Path, boxes: str) -> list[Entry]:
    """List the pictures under the first of the classic splits, unpacking them first."""
    found = unpack(root, boxes)
    return _classic(found, found.testsets[0])


def classic_splits(root: Path, boxes: str) -> dict[str, list[Entry]]:
    """List the pictures under each of the classic splits, as split00, split01, ... ."""
    found = unpack(root, boxes)
    return {f"split{number:02}": _classic(found, tested) for number, tested in enumerate(found.testsets)}


def _classic(found: Unpacked, tested: Iterable[tuple[int, int]]) -> list[Entry]:
    """Camera 1 of a tested person asks, camera 2 answers; all others train."""
    persons = set(tested)
    entries = []
    for name in found.names:
        pair, person, camera, _ = (int(part) for part in name.removesuffix(".png").split("_"))
        split = ("query" if camera == 1 else "gallery") if (pair, person) in persons else "train"
        entries.append(Entry(f"{found.folder}/{name}", split, pair * PAIR + person, camera))
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
        together=Count(sum(count.pictures for count in COUNTS[boxes].values()), PERSONS),
        cameras=2,
        gallery="single-shot",
        more=partial(classic_splits, boxes=boxes),
    )
    for boxes in COUNTS
}
