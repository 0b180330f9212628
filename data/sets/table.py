"""A user's own dataset: a table `dataset.csv` of path, pid, camid, split; Market-1501's layout, or one of others."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from dsa_app.config import suggestion
from dsa_app.errors import DatasetError
from dsa_app.guard import guarded
from dsa_app.wording import SHOWN, shortened, shown

from .. import walk
from ..keys import is_key
from ..numbers import whole
from ..records import OPTIONAL, Entry
from . import conventions, market1501
from .dataset import Dataset
from .layout import JUNK, check_disjoint, check_distractor

TABLE = "dataset.csv"
COLUMNS = ("path", "pid", "camid", "split")
FURTHER = OPTIONAL  # columns that may be there: clothes, tracklet
SPLITS = ("train", "val", "query", "gallery")
DELIMITERS = ",;\t"  # spreadsheets write ";" where "," is the decimal sign
WINDOWS = re.compile(r"[A-Za-z]:|\\\\")  # begins an absolute path there
LAYOUT = (
    f"Expected {', '.join(market1501.FOLDERS.values())} with names like 0002_c1s1_000451_03.jpg, or {TABLE} with the "
    f"columns {', '.join(COLUMNS)}; docs/datasets.md lists the other layouts that are read."
)


def own(name: str, folder: Path) -> Dataset:
    """Return the user's own dataset in `folder`.

    Raises DatasetError if it has no known layout, or one that needs a table, with the command that writes it.
    """
    if (folder / TABLE).is_file():
        return Dataset(scan, f"your own dataset, listed by {TABLE}", LAYOUT, name)
    layout = conventions.recognise(folder)
    if isinstance(layout, conventions.Convention):
        return Dataset(layout.scan, f"your own dataset, in {layout.title}", LAYOUT, name)
    if all((folder / split).is_dir() for split in market1501.FOLDERS.values()) or (
        layout is None and any((folder / split).is_dir() for split in market1501.FOLDERS.values())
    ):
        return Dataset(
            market1501.scan, "your own dataset, in Market-1501's layout", LAYOUT, name, protocols=market1501.multiquery
        )
    if layout:
        raise DatasetError(layout.answer(folder))
    raise DatasetError(f"{folder} is not a dataset. {LAYOUT}")


def scan(root: Path) -> list[Entry]:
    """Return the entries that `dataset.csv` lists, without junk (pid -1); distractors (0) must be in the gallery.

    The delimiter is a comma, a semicolon or a tab; columns and splits may be in capitals.

    Raises:
        DatasetError: for an invalid line, an identity both in training and in test, or an empty table.
    """
    path = root / TABLE
    names = _FileNames(root)
    with guarded(DatasetError, path, "is not CSV text", "Save it as CSV in UTF-8."):
        text = _read_text(path)
        table = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        header = [name.strip().casefold() for name in next(table, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise DatasetError(f"{path} lacks the column {missing[0]!r}: expected {', '.join(COLUMNS)}.")
        if len(set(header)) < len(header):
            raise DatasetError(f"{path} has a column twice: {shortened(', '.join(header), 200)}. Remove one of them.")
        entries = [_entry(header, row, f"{path}, line {table.line_num}", names) for row in table if any(row)]
    entries = [entry for entry in entries if entry.pid != JUNK]
    if not entries:
        raise DatasetError(f"{path} lists no image. {LAYOUT}")
    check_disjoint(entries, root)
    return entries


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    # Spreadsheets write a byte order mark: before UTF-8, and before the UTF-16 of "Unicode text".
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _delimiter(text: str) -> str:
    """Return the delimiter that divides the first line into most fields."""
    first = text.partition("\n")[0]
    return max(DELIMITERS, key=first.count)


def _entry(header: Sequence[str], row: Sequence[str], where: str, names: _FileNames) -> Entry:
    if len(row) != len(header):
        raise DatasetError(
            f'{where}: {len(row)} fields, expected {len(header)}. Put a path that has a delimiter in quotes: "a,b.jpg".'
        )
    fields = {name: value.strip() for name, value in zip(header, row, strict=True)}
    key, split = names.key(fields["path"], where), _split(fields["split"], where)
    pid, camid = whole(fields["pid"], "pid", where, low=JUNK), whole(fields["camid"], "camid", where)
    check_distractor(pid, split, where)
    further = {name: whole(fields[name] or "0", name, where) for name in FURTHER if name in fields}
    return Entry(key, split, pid, camid, **further)


def _split(text: str, where: str) -> str:
    split = text.casefold()
    if split == "test":
        raise DatasetError(
            f"{where}: the split 'test' does not say which images are searched for. Write 'query' for these, and "
            "'gallery' for those that they are searched among."
        )
    if split not in SPLITS:
        raise DatasetError(f"{where}: unknown split {shown(text)}.{suggestion(split[:SHOWN], SPLITS)}")
    return split


class _FileNames:
    """The names of the files under a root, by what a table calls them: with backslashes, or in another Unicode form."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._present: dict[str, str] | None = None  # listed only if a name is not found as it is written

    def key(self, text: str, where: str) -> str:
        """Return the key of a file, as it is named on the disk if it is there. Raises DatasetError for another path."""
        path = PurePosixPath(text)
        if "\\" in text and not (self.root / text).exists():
            path = PurePosixPath(text.replace("\\", "/"))
        if not is_key(path.as_posix()) or not text or WINDOWS.match(text):
            raise DatasetError(f"{where}: expected a path below the dataset's folder, found {shown(text)}.")
        key = path.as_posix()
        return key if (self.root / key).exists() else self._found().get(unicodedata.normalize("NFC", key), key)

    def _found(self) -> dict[str, str]:
        if self._present is None:
            names = walk.files_below(self.root)
            self._present = {unicodedata.normalize("NFC", name): name for name in names}
        return self._present
