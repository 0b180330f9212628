"""Market-1501 (Zheng et al., ICCV 2015), version 15.09.15, and whatever lies in its layout.

`bounding_box_train/`, `query/`, `bounding_box_test/` hold pictures named PPPP_cCsS_FFFFFF_NN.jpg: identity, camera,
sequence, frame, box. Identity -1 is junk and dropped, 0000 a distractor and kept in the gallery. `gt_bbox/` holds all
hand-drawn boxes of every identity, of which multi-queries are made.
"""

from __future__ import annotations

import re
from pathlib import Path

from dsa_app.errors import DatasetError

from ..records import Entry
from .dataset import Dataset, published
from .layout import DISTRACTOR, JUNK, check_disjoint, need, pictures

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
BOXES, MULTIQUERY = "gt_bbox", "multiquery"
NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)[s_]")


def scan(root: Path) -> list[Entry]:
    """List the pictures under `root`, junk left out.

    Raises:
        DatasetError: for a folder that is missing or empty, a picture whose name tells no identity and camera, an
            identity that is in training and in test, or a distractor outside the gallery.
    """
    layout = f"{root} should hold {', '.join(FOLDERS.values())}, as Market-1501 is laid out."
    need(root, list(FOLDERS.values()), layout)
    entries = []
    for split, folder in FOLDERS.items():
        found = list_folder(root, folder, split)
        if not found:
            raise DatasetError(f"{root / folder} holds no picture for the split {split!r}. {layout}")
        nobody = [entry.key for entry in found if entry.pid == DISTRACTOR]
        if nobody and split != "gallery":
            raise DatasetError(
                f"{root / nobody[0]}: identity 0 is a distractor, of the gallery alone. Number persons from 1."
            )
        entries += found
    check_disjoint(entries, root)
    return entries


def multiquery(root: Path) -> dict[str, list[Entry]]:
    """List the pictures in `gt_bbox` of each query's identity in its camera; nothing where there is no such folder."""
    if not (root / BOXES).is_dir():
        return {}
    asked = {(entry.pid, entry.camid) for entry in list_folder(root, FOLDERS["query"], "query")}
    boxes = list_folder(root, BOXES, MULTIQUERY)
    return {MULTIQUERY: [entry for entry in boxes if (entry.pid, entry.camid) in asked]}


def list_folder(root: Path, folder: str, split: str) -> list[Entry]:
    """List a folder's pictures as of a split, junk left out. Raises DatasetError for a name that tells nothing."""
    found = [_entry(root, key, split) for key in pictures(root / folder, root)]
    return [entry for entry in found if entry.pid != JUNK]


def _entry(root: Path, key: str, split: str) -> Entry:
    match = NAME.match(Path(key).name)
    if not match:
        raise DatasetError(f"{root / key}: expected a name like 0002_c1s1_000451_03.jpg. Rename it or take it out.")
    return Entry(key, split, int(match["pid"]), int(match["camid"]))


SETS = {
    "market1501": Dataset(
        scan,
        "Market-1501",
        "Download Market-1501-v15.09.15.zip from its authors and unpack it there.",
        "market1501",
        published((12936, 751), (3368, 750), (15913, 750)),
        cameras=6,
        inner=("Market-1501-v15.09.15",),
        more=multiquery,
    )
}
