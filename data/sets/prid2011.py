"""PRID2011 (Hirzer et al., SCIA 2011), single-shot: `single_shot/cam_a/person_0001.png`, `single_shot/cam_b/…`.

Persons 1 to 200 are seen by both cameras. Half of these are tested, ten times (see `halves`): queries are camera A's,
and the gallery has all of camera B but the training persons, 201 to 749 included, whom camera A does not see. Camera
A's persons from 201 on are others than B's of the same number; the protocol does not use them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..records import Entry
from .dataset import Dataset, published
from .halves import every_split, tested
from .layout import check_present, named_images

CAMERAS = {"single_shot/cam_a": 1, "single_shot/cam_b": 2}
SHARED = 200  # persons that both cameras see
NAME = re.compile(r"person_(?P<pid>(?!0000)[0-9]{4})\.\w+")
SOURCE = "Download prid_2011.zip (Graz University of Technology) and unpack it there."


def scan(root: Path) -> list[Entry]:
    """Return the entries under the first split. Raises DatasetError for a name that is not in PRID's form."""
    return _divide(_read(root), 0)


def splits(root: Path) -> dict[str, list[Entry]]:
    """Return the entries under every split, by its name: split00, split01, …."""
    return every_split(_read(root), _divide)


def _divide(entries: Sequence[Entry], split: int) -> list[Entry]:
    shared = {entry.pid for entry in entries if entry.pid <= SHARED}
    test = tested(shared, "prid2011", split, len(shared) // 2)
    found = []
    for entry in entries:
        role = "train" if entry.pid in shared - test else "query" if entry.camid == 1 else "gallery"
        found.append(Entry(entry.key, role, entry.pid, entry.camid))
    return found


def _read(root: Path) -> list[Entry]:
    """Return all entries of the protocol, as gallery images."""
    check_present(root, list(CAMERAS), SOURCE)
    return [
        Entry(key, "gallery", int(match["pid"]), camid)
        for folder, camid in CAMERAS.items()
        for key, match in named_images(root, folder, NAME, "person_0001.png", SOURCE)
        if camid == 2 or int(match["pid"]) <= SHARED
    ]


SETS = {
    "prid2011": Dataset(
        scan,
        "PRID2011, single-shot, the first of ten splits",
        SOURCE,
        "prid2011",
        published((200, 100), (100, 100), (649, 649)),
        cameras=2,
        archive_folders=("prid_2011",),
        protocols=splits,
    )
}
