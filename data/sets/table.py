"""A user's own dataset: a folder in Market-1501's layout, or with a table `dataset.csv` of path, pid, camid, split."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from dsa_app.config import suggestion
from dsa_app.errors import DatasetError

from ..records import Entry
from . import market1501
from .dataset import Dataset
from .layout import DISTRACTOR, JUNK, check_disjoint

TABLE = "dataset.csv"
COLUMNS = ("path", "pid", "camid", "split")
SPLITS = ("train", "val", "query", "gallery")
LAYOUT = (
    f"Expected {', '.join(market1501.FOLDERS.values())} with names like 0002_c1s1_000451_03.jpg, or {TABLE} with the "
    f"columns {', '.join(COLUMNS)}."
)


def own(name: str, folder: Path) -> Dataset:
    """Return the user's own dataset in `folder`. Raises DatasetError if it has neither layout."""
    if (folder / TABLE).is_file():
        return Dataset(scan, f"your own dataset, listed by {TABLE}", LAYOUT, name)
    if any((folder / split).is_dir() for split in market1501.FOLDERS.values()):
        return Dataset(
            market1501.scan, "your own dataset, in Market-1501's layout", LAYOUT, name, protocols=market1501.multiquery
        )
    raise DatasetError(f"{folder} is not a dataset. {LAYOUT}")


def scan(root: Path) -> list[Entry]:
    """Return the entries that `dataset.csv` lists, without junk (pid -1); distractors (0) must be in the gallery.

    Raises:
        DatasetError: for an invalid line, an identity both in training and in test, or an empty table.
    """
    path = root / TABLE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # utf-8-sig: spreadsheets write a byte order mark
            table = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or [])]
            if missing:
                raise DatasetError(f"{path} lacks the column {missing[0]!r}: expected {', '.join(COLUMNS)}.")
            entries = [_entry(row, f"{path}, line {table.line_num}") for row in table]
    except (UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path} is not CSV text. Save it as CSV in UTF-8.") from None
    entries = [entry for entry in entries if entry.pid != JUNK]
    if not entries:
        raise DatasetError(f"{path} lists no image. {LAYOUT}")
    check_disjoint(entries, root)
    return entries


def _entry(row: dict[str, str | None], where: str) -> Entry:
    key, pid, camid, split = ((row[name] or "").strip() for name in COLUMNS)
    parts = PurePosixPath(key)
    if not key or parts.is_absolute() or ".." in parts.parts:
        raise DatasetError(f"{where}: expected a path below the dataset's folder, found {key!r}.")
    if split not in SPLITS:
        raise DatasetError(f"{where}: unknown split {split!r}.{suggestion(split, SPLITS)}")
    try:
        entry = Entry(parts.as_posix(), split, int(pid), int(camid))
    except ValueError:
        raise DatasetError(f"{where}: expected whole numbers, found pid {pid!r} and camid {camid!r}.") from None
    if entry.pid < JUNK or entry.camid < 0:
        raise DatasetError(f"{where}: expected pid from {JUNK} and camid from 0, found {entry.pid} and {entry.camid}.")
    if entry.pid == DISTRACTOR and split != "gallery":
        raise DatasetError(
            f"{where}: identity 0 is a distractor, which only the gallery may have. Number persons from 1."
        )
    return entry
