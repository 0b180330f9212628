"""CUHK01 (Li et al., ACCV 2012): `campus/PPPPKKK.png`, four images of each of 971 persons.

Images 1 and 2 come from one camera, 3 and 4 from the other. Its authors published no split. The two in use test on 486
or on 100 persons, sampled at random ten times. Those of this project are in `cuhk01_splits.json`, with their seeds.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

from dsa_app.errors import DatasetError

from ..records import Entry
from .dataset import Dataset, published
from .layout import check_present, image_keys

FOLDER = "campus"
NAME = re.compile(r"(?P<pid>\d{4})(?P<number>00[1-4])\.png")
SPLITS = Path(__file__).with_name("cuhk01_splits.json")
SOURCE = "Ask its authors for CUHK01.zip (Chinese University of Hong Kong) and unpack it so that campus/ is there."


def read_splits(tested: int) -> list[list[int]]:
    """Return the persons of each split that tests on `tested` persons, 486 or 100."""
    splits: dict[str, list[list[int]]] = json.loads(SPLITS.read_text(encoding="utf-8"))["tested"]
    return splits[str(tested)]


def scan(root: Path, tested: int) -> list[Entry]:
    """Return all entries under the first split. Raises DatasetError for a name that is not in CUHK01's form."""
    return _divide(root, read_splits(tested)[0])


def splits(root: Path, tested: int) -> dict[str, list[Entry]]:
    """Return all entries under every split, by its name: split00, split01, ... ."""
    return {f"split{number:02}": _divide(root, persons) for number, persons in enumerate(read_splits(tested))}


def _divide(root: Path, tested: list[int]) -> list[Entry]:
    """Return all entries: a tested person's first camera is query, the second gallery; all other persons are train."""
    check_present(root, [FOLDER], SOURCE)
    persons = set(tested)
    entries = []
    for key in image_keys(root / FOLDER, root):
        match = NAME.fullmatch(Path(key).name)
        if not match:
            raise DatasetError(f"{root / key}: expected a name like 0001001.png. Rename or remove it.")
        pid, camid = int(match["pid"]), 1 if int(match["number"]) <= 2 else 2
        split = ("query" if camid == 1 else "gallery") if pid in persons else "train"
        entries.append(Entry(key, split, pid, camid))
    if not entries:
        raise DatasetError(f"{root / FOLDER} has no image. {SOURCE}")
    return entries


def _dataset(trained: int, tested: int) -> Dataset:
    return Dataset(
        partial(scan, tested=tested),
        f"CUHK01, {trained} persons to train and {tested} to test, the first of ten splits",
        SOURCE,
        "cuhk01",
        published((4 * trained, trained), (2 * tested, tested), (2 * tested, tested)),
        cameras=2,
        gallery="single-shot",
        protocols=partial(splits, tested=tested),
    )


SETS = {"cuhk01": _dataset(485, 486), "cuhk01-100": _dataset(871, 100)}
