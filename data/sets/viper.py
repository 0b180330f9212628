"""VIPeR (Gray et al., PETS 2007): `cam_a/000_45.bmp`, `cam_b/000_90.bmp`: the person, and the view in degrees.

Two images of each of 632 persons. Half of them are tested, ten times (see `halves`); queries are camera A's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..records import Entry
from .dataset import Dataset, published
from .halves import every_split, tested
from .layout import check_present, named_images

CAMERAS = {"cam_a": 1, "cam_b": 2}
NAME = re.compile(r"(?P<pid>[0-9]{3,4})_[^.]*\.\w+")
SOURCE = "Download VIPeR.v1.0.zip (University of California, Santa Cruz) and unpack it there."


def scan(root: Path) -> list[Entry]:
    """Return all entries under the first split. Raises DatasetError for a name that is not in VIPeR's form."""
    return _divide(_read(root), 0)


def splits(root: Path) -> dict[str, list[Entry]]:
    """Return all entries under every split, by its name: split00, split01, …."""
    return every_split(_read(root), _divide)


def _divide(entries: Sequence[Entry], split: int) -> list[Entry]:
    persons = {entry.pid for entry in entries}
    test = tested(persons, "viper", split, len(persons) // 2)
    found = []
    for entry in entries:
        role = "train" if entry.pid not in test else "query" if entry.camid == CAMERAS["cam_a"] else "gallery"
        found.append(Entry(entry.key, role, entry.pid, entry.camid))
    return found


def _read(root: Path) -> list[Entry]:
    """Return all entries, as training images; persons count from 1, as 0 is the distractors'."""
    check_present(root, list(CAMERAS), SOURCE)
    return [
        Entry(key, "train", int(match["pid"]) + 1, camid)
        for folder, camid in CAMERAS.items()
        for key, match in named_images(root, folder, NAME, "000_45.bmp", SOURCE)
    ]


SETS = {
    "viper": Dataset(
        scan,
        "VIPeR, the first of ten splits",
        SOURCE,
        "viper",
        published((632, 316), (316, 316), (316, 316)),
        cameras=2,
        archive_folders=("VIPeR",),
        protocols=splits,
    )
}
