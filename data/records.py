"""The record of an image, and the manifest that lists all records of a dataset.

A manifest is a CSV sorted by key, with the columns of `Record`: the same dataset gives the same bytes. Columns that a
dataset does not have, clothes and tracklet in most, are left out.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import joblib

from dsa_app.console import progress
from dsa_app.errors import DatasetError, ImageError
from dsa_app.guard import guarded
from dsa_app.parallel import carry_out
from dsa_app.wording import shortened, shown
from dsa_reid.atomic import atomic

from . import images
from .keys import is_key
from .numbers import whole


class RecordError(DatasetError, ValueError):
    """A record whose key leads out of the dataset's folder."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An image as listed by its dataset: path, split, identity and camera.

    Attributes:
        key: path under the dataset's root, "/"-separated, unique.
        split: train, query, gallery, ….
        clothes: number of the outfit among those of its person, from 1; 0 where it is unknown.
        tracklet: number of the tracklet that the image is a frame of, from 1; 0 for a single image.
    """

    key: str
    split: str
    pid: int
    camid: int
    clothes: int = dataclasses.field(default=0, kw_only=True)
    tracklet: int = dataclasses.field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if not is_key(self.key):
            raise RecordError(f"{shown(self.key)} is not a path below the dataset's folder")


@dataclasses.dataclass(frozen=True)
class Record(Entry):
    """An entry with what was read from the file: size in pixels, and SHA-256 of its bytes in hexadecimal."""

    width: int
    height: int
    digest: str


DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST = 2**31 - 1  # side of an image in pixels; stores keep it as int32
OPTIONAL = ("clothes", "tracklet")  # columns of a manifest, after the others, if any of its records has them
COLUMNS = [field.name for field in dataclasses.fields(Record) if field.name not in OPTIONAL]


def index(root: Path, entries: Sequence[Entry], jobs: int = 1) -> list[Record]:
    """Read the image of every entry under `root`; return the records, sorted by key.

    Raises:
        DatasetError: if two entries have the same key, or there are none.
        ImageError: for the first image, by key, that is missing or does not decode.
    """
    if not entries:
        raise DatasetError(f"{root} has no image that belongs to a split. Check the dataset's folder.")
    entries = sorted(entries, key=lambda entry: entry.key)
    check_unique((entry.key for entry in entries), str(root))
    groups = [entries[start : start + 64] for start in range(0, len(entries), 64)]
    read_group: Callable[..., list[Record]] = joblib.delayed(_read_group)
    read = carry_out((read_group(root, group) for group in groups), jobs)
    return [record for group in progress(read, len(entries), "listing", each=0) for record in group]


def _read_group(root: Path, entries: Sequence[Entry]) -> list[Record]:
    return [_read_record(root, entry) for entry in entries]


def _read_record(root: Path, entry: Entry) -> Record:
    data = images.read_bytes(root / entry.key)
    height, width = images.decode(data, root / entry.key).shape[:2]
    digest = hashlib.sha256(data).hexdigest()
    return Record(**dataclasses.asdict(entry), width=width, height=height, digest=digest)


def read_listed(root: Path, key: str, digest: str) -> bytes:
    """Return the bytes of an image. Raises ImageError if it is missing or has changed since it was listed."""
    path = root / key
    data = images.read_bytes(path)
    digest_now = hashlib.sha256(data).hexdigest()
    if digest_now != digest:
        raise ImageError(
            f"{path} has changed since it was listed: its SHA-256 was {digest[:12]}…, is {digest_now[:12]}…. Write the "
            "manifest again (dsa-data prepare), then run the later stages again: densepose-extract run, dsap build."
        )
    return data


def check_unique(keys: Iterable[str], where: str) -> None:
    """Raise DatasetError if a key occurs twice."""
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DatasetError(f"{where}: {len(twice)} key(s) occur twice, first {twice[0]}. Remove one of the two.")


def _record(row: Sequence[str], optional: Sequence[str], where: str, remedy: str) -> Record:
    """Return the record in a row of a manifest. Raises DatasetError for fields that are missing or invalid.

    Args:
        optional: the columns after the usual ones.
    """
    if len(row) != len(COLUMNS) + len(optional):
        raise DatasetError(f"{where}: expected {len(COLUMNS) + len(optional)} fields. {remedy}")
    key, split, pid, camid, width, height, digest, *further = row
    if not DIGEST.fullmatch(digest):
        raise DatasetError(f"{where}: expected a SHA-256 for digest, found {shown(digest)}. {remedy}")
    try:
        return Record(
            key,
            split,
            whole(pid, "pid", where, low=-1),
            whole(camid, "camid", where),
            whole(width, "width", where, low=1, high=LONGEST),
            whole(height, "height", where, low=1, high=LONGEST),
            digest,
            **{name: whole(text, name, where) for name, text in zip(optional, further, strict=True)},
        )
    except RecordError as error:
        raise DatasetError(f"{where}: {error}. {remedy}") from None


def write_manifest(records: Iterable[Record], path: Path) -> Path:
    """Write records to a CSV, sorted by key, whole or not at all; return its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = sorted(records, key=lambda record: record.key)
    columns = [*COLUMNS, *(name for name in OPTIONAL if any(getattr(record, name) for record in rows))]
    writer.writerow(columns)
    writer.writerows([getattr(record, name) for name in columns] for record in rows)
    with atomic(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return path


def read_manifest(path: Path, splits: Sequence[str] | None = None) -> list[Record]:
    """Read the records of a manifest, all or those of some splits, sorted by key.

    Raises:
        DatasetError: if it is missing, is not a manifest, lists a key twice, or has no record of one of `splits`.
    """
    remedy = "List the images again: dsa-data prepare."
    if not path.exists():
        raise DatasetError(f"{path} does not exist. List the images first: dsa-data prepare.")
    records: list[Record] = []
    with (
        guarded(DatasetError, path, "is not a manifest: it is not CSV text", remedy),
        path.open(newline="", encoding="utf-8") as file,
    ):
        rows = csv.reader(file, strict=True)
        header = next(rows, [])
        optional = header[len(COLUMNS) :]
        if header[: len(COLUMNS)] != COLUMNS or optional != [name for name in OPTIONAL if name in optional]:
            raise DatasetError(f"{path} is not a manifest: expected the columns {', '.join(COLUMNS)}. {remedy}")
        for row in rows:
            records.append(_record(row, optional, f"{path}, line {rows.line_num}", remedy))
    check_unique((record.key for record in records), str(path))
    records.sort(key=lambda record: record.key)
    for split in splits or ():
        if not any(record.split == split for record in records):
            present = {record.split for record in records}
            if split == "train" and present <= {"query", "gallery"} and present:
                remedy = "It is a test set: train on another dataset (--dataset), and evaluate that run (--run) on it."
            listed = shortened(", ".join(sorted(present)) or "none", 200)
            raise DatasetError(f"{path}: the split {shown(split)} is empty; splits with images: {listed}. {remedy}")
    return [record for record in records if not splits or record.split in splits]
