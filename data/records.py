"""The record of a picture, and the manifest that lists a dataset's records.

A manifest is a CSV sorted by key, with the columns of `Record`: the same dataset gives the same bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import joblib

from dsa_app.console import progress
from dsa_app.errors import DatasetError, ImageError
from dsa_reid.atomic import atomic

from . import images


@dataclasses.dataclass(frozen=True)
class Entry:
    """A picture as a dataset's folder tells of it: where it is, whose it is, who saw it."""

    key: str  # path under the dataset's root, "/"-separated, unique
    split: str  # train, query, gallery, ...
    pid: int
    camid: int


@dataclasses.dataclass(frozen=True)
class Record(Entry):
    """An entry whose file was read: its size in pixels and the SHA-256 of its bytes, in hexadecimal."""

    width: int
    height: int
    digest: str


COLUMNS = [field.name for field in dataclasses.fields(Record)]


def index(root: Path, entries: Sequence[Entry], jobs: int = 1) -> list[Record]:
    """Read every picture of `entries` under `root`; return the records, sorted by key.

    Raises:
        DatasetError: if two entries claim one key, or there are none.
        ImageError: for the first picture, by key, that is missing or does not decode.
    """
    if not entries:
        raise DatasetError(f"{root} holds no picture that belongs to a split. Is it the right folder?")
    entries = sorted(entries, key=lambda entry: entry.key)
    check_unique((entry.key for entry in entries), str(root))
    groups = [entries[start : start + 64] for start in range(0, len(entries), 64)]
    work: Callable[..., list[Record]] = joblib.delayed(_read_group)
    done = joblib.Parallel(n_jobs=jobs, return_as="generator")(work(root, group) for group in groups)
    return [record for group in progress(done, len(entries), "listing", each=0) for record in group]


def _read_group(root: Path, entries: Sequence[Entry]) -> list[Record]:
    return [_read_one(root, entry) for entry in entries]


def _read_one(root: Path, entry: Entry) -> Record:
    data = images.read_bytes(root / entry.key)
    height, width = images.decode(data, root / entry.key).shape[:2]
    digest = hashlib.sha256(data).hexdigest()
    return Record(**dataclasses.asdict(entry), width=width, height=height, digest=digest)


def read_listed(root: Path, key: str, digest: str) -> bytes:
    """Return a picture's bytes. Raises ImageError if they are missing, or not those that the manifest lists."""
    path = root / key
    data = images.read_bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ImageError(
            f"{path} has changed since it was listed: its SHA-256 was {digest[:12]}…, now {found[:12]}…. List the "
            "pictures again (dsa-data prepare), then make what comes of them: densepose-extract run, dsap build."
        )
    return data


def check_unique(keys: Iterable[str], where: str) -> None:
    """Raise DatasetError if one key is claimed twice."""
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DatasetError(f"{where}: {len(twice)} key(s) are claimed by two files, first {twice[0]}. Remove one.")


def write_manifest(records: Iterable[Record], path: Path) -> Path:
    """Write records to a CSV, sorted by key, whole or not at all; return its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(dataclasses.astuple(record) for record in sorted(records, key=lambda record: record.key))
    with atomic(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return path


def read_manifest(path: Path, splits: Sequence[str] | None = None) -> list[Record]:
    """Read the records of a manifest, all or those of some splits, sorted by key.

    Raises:
        DatasetError: if it is missing, is no manifest, claims a key twice, or one of `splits` is empty.
    """
    remedy = "List the pictures again: dsa-data prepare."
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist. {remedy}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path} is no manifest: it is not CSV text. {remedy}") from None
    if not rows or rows[0] != COLUMNS:
        raise DatasetError(f"{path} is no manifest: expected the columns {', '.join(COLUMNS)}. {remedy}")
    records = []
    for line, row in enumerate(rows[1:], start=2):
        try:
            key, split, pid, camid, width, height, digest = row
            records.append(Record(key, split, int(pid), int(camid), int(width), int(height), digest))
        except ValueError:
            raise DatasetError(f"{path}, line {line}: expected {len(COLUMNS)} fields. {remedy}") from None
    check_unique((record.key for record in records), str(path))
    records.sort(key=lambda record: record.key)
    for split in splits or ():
        if not any(record.split == split for record in records):
            found = ", ".join(sorted({record.split for record in records})) or "nothing"
            raise DatasetError(f"{path}: the split {split!r} is empty; it holds {found}. {remedy}")
    return [record for record in records if not splits or record.split in splits]
