"""Market-1501 (Zheng et al., ICCV 2015), and whatever lies in its layout.

`bounding_box_train/`, `query/`, `bounding_box_test/` hold pictures named PPPP_cCsS_FFFFFF_NN.jpg: identity, camera,
sequence, frame, box. Identity -1 is junk and dropped, 0000 a distractor and kept in the gallery.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DatasetError
from ..images import is_picture
from ..records import Entry

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)[s_]")
JUNK = -1


def scan(root: Path) -> list[Entry]:
    """List the pictures under `root`, junk left out.

    Raises:
        DatasetError: for a folder that is missing or empty, a picture whose name tells no identity and camera, or
            an identity that is in training and in test.
    """
    entries = []
    for split, folder in FOLDERS.items():
        found = [_entry(path, split, folder) for path in _pictures(root / folder)]
        found = [entry for entry in found if entry.pid != JUNK]
        if not found:
            raise DatasetError(f"{root / folder} holds no picture for the split {split!r}. {_remedy(root)}")
        entries += found
    trained = {entry.pid for entry in entries if entry.split == "train"}
    shared = sorted(trained & {entry.pid for entry in entries if entry.split != "train"})
    if shared:
        raise DatasetError(
            f"{root}: {len(shared)} identities are in training and in test, first {shared[0]}. Separate them."
        )
    return entries


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing. {_remedy(folder.parent)}")
    return sorted(path for path in folder.iterdir() if is_picture(path))


def _entry(path: Path, split: str, folder: str) -> Entry:
    match = NAME.match(path.name)
    if not match:
        raise DatasetError(f"{path}: expected a name like 0002_c1s1_000451_03.jpg. Rename it or take it out.")
    return Entry(f"{folder}/{path.name}", split, int(match["pid"]), int(match["camid"]))


def _remedy(root: Path) -> str:
    return f"{root} should hold {', '.join(FOLDERS.values())}, as Market-1501 is laid out."
