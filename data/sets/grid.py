"""QMUL GRID (Loy et al., CVPR 2009): `probe/0001_1_25023_45_29_116_295.jpeg`: person, camera; `gallery/` the same.

Of 250 persons each folder has an image; 775 more of the gallery, of person 0, are distractors. Its authors' ten splits
are in `features_and_partitions.mat`: `trainIdxAll` has, as the third entry of each split, the 125 persons to train on.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dsa_app.errors import DatasetError

from ..matlab import read_mat
from ..records import Entry
from .dataset import Dataset, published
from .layout import check_distractor, check_present, named_images

FOLDERS = {"probe": "query", "gallery": "gallery"}
PARTITIONS, VARIABLE = "features_and_partitions.mat", "trainIdxAll"
PERSONS = 2  # which entry of a split has the persons, from 0
NAME = re.compile(r"(?P<pid>[0-9]{4})_(?P<camid>[0-9]+)_[^.]*\.\w+")
SOURCE = "Download underground_reid.zip (C. C. Loy, Chinese University of Hong Kong) and unpack it there."


def scan(root: Path) -> list[Entry]:
    """Return all entries under the first split. Raises DatasetError for a damaged file or a name of another form."""
    return splits(root)["split00"]


def splits(root: Path) -> dict[str, list[Entry]]:
    """Return all entries under every split, by its name: split00, split01, …."""
    check_present(root, [*FOLDERS, PARTITIONS], SOURCE)
    entries = [entry for folder, split in FOLDERS.items() for entry in _read(root, folder, split)]
    return {f"split{number:02}": _divide(entries, persons) for number, persons in enumerate(_trained(root))}


def _divide(entries: list[Entry], trained: set[int]) -> list[Entry]:
    return [Entry(e.key, "train" if e.pid in trained else e.split, e.pid, e.camid) for e in entries]


def _read(root: Path, folder: str, split: str) -> list[Entry]:
    entries = []
    for key, match in named_images(root, folder, NAME, "0001_1_25023_45_29_116_295.jpeg", SOURCE):
        check_distractor(int(match["pid"]), split, str(root / key))
        entries.append(Entry(key, split, int(match["pid"]), int(match["camid"])))
    return entries


def _trained(root: Path) -> list[set[int]]:
    """Return the persons that each split trains on."""
    path = root / PARTITIONS
    problem = "is not GRID's list of splits"
    read = read_mat(path, [VARIABLE], DatasetError, problem, SOURCE, field=PERSONS)[VARIABLE]
    if read.ndim != 2 or not np.issubdtype(read.dtype, np.number):
        raise DatasetError(f"{path} {problem}: {VARIABLE} has the shape {read.shape}, expected 10 x 125. {SOURCE}")
    return [{int(person) for person in split} for split in read]


SETS = {
    "grid": Dataset(
        scan,
        "GRID, the first of its ten splits",
        SOURCE,
        "grid",
        published((250, 125), (125, 125), (900, 125)),
        cameras=8,
        archive_folders=("underground_reid",),
        protocols=splits,
    )
}
