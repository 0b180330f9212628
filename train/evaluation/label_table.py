"""The table of labels that goes with features from elsewhere: a CSV with path, pid and camid of each row."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from dsa_app.errors import DatasetError
from dsa_app.file_names import why_no_file
from dsa_app.guard import guarded
from dsa_app.wording import shown
from dsa_data.keys import is_key
from dsa_data.numbers import whole
from dsa_data.records import DIGEST, OPTIONAL, Record

NEEDED = ("path", "pid", "camid")
SPLITS = ("query", "gallery")
REMEDY = "Expected a CSV with the columns path, pid, camid, and split (query or gallery)."


def read_table(path: Path) -> list[Record]:
    """Return the rows of a table of labels, in its order; a manifest of `dsa-data prepare` is one.

    The split is "" in a table without such a column; clothes and tracklet are optional columns too. A record's digest
    is that of its image in a manifest, and of its path in other tables; its size is unknown (0).

    Raises DatasetError for a file that is missing or no such table.
    """
    if not path.is_file():
        raise DatasetError(f"{path} {why_no_file(path)}. {REMEDY}")
    records: list[Record] = []
    lines: dict[tuple[str, str], int] = {}  # of each path and split
    with (
        guarded(DatasetError, path, "is not a table of labels: it is not CSV text", REMEDY),
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        rows = csv.reader(file, strict=True)
        columns = ["path" if name.strip().lower() == "key" else name.strip().lower() for name in next(rows, [])]
        if missing := [name for name in NEEDED if name not in columns]:
            raise DatasetError(f"{path} has no column {', '.join(missing)}. {REMEDY}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if len(row) != len(columns):
                raise DatasetError(f"{where}: expected {len(columns)} fields, found {len(row)}. {REMEDY}")
            cells = dict(zip(columns, row, strict=True))
            pid, camid = whole(cells["pid"], "pid", where, low=-1), whole(cells["camid"], "camid", where)
            split, digest = cells.get("split", "").strip().lower(), cells.get("digest", "")
            clothes, tracklet = (whole(cells.get(name, "").strip() or "0", name, where) for name in OPTIONAL)
            one = record(cells["path"], split, pid, camid, where, digest)
            records.append(dataclasses.replace(one, clothes=clothes, tracklet=tracklet))
            before = lines.setdefault((records[-1].key, records[-1].split), rows.line_num)
            if before != rows.line_num:
                raise DatasetError(
                    f"{where}: {shown(records[-1].key)} is in line {before} already. List an image once in a split."
                )
    if not records:
        raise DatasetError(f"{path} has no row. {REMEDY}")
    return records


def record(path: str, split: str, pid: int, camid: int, where: str, digest: str = "") -> Record:
    """Return the record of an image of another program's. Raises DatasetError for a path that leads out of its folder.

    Args:
        where: begins the error: the file, and the line.
        digest: SHA-256 of the image, hexadecimal; that of its path stands for another text.
    """
    key = path.strip().lstrip("/")
    if not is_key(key):
        raise DatasetError(f"{where}: {shown(path)} is not a path below the images' folder. Give a path without '..'.")
    return Record(key, split, pid, camid, 0, 0, digest if DIGEST.fullmatch(digest) else _digest_of_path(key))


def knows_image(record: Record) -> bool:
    """Return whether a record's digest is that of its image, and not of its path."""
    return record.digest != _digest_of_path(record.key)


def _digest_of_path(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def split_rows(records: Sequence[Record], path: Path) -> tuple[list[int], list[int]]:
    """Return the rows of the queries and of the gallery. Raises DatasetError if either has none."""
    query, gallery = ([n for n, one in enumerate(records) if one.split == split] for split in SPLITS)
    if not query or not gallery:
        raise DatasetError(
            f"{path} has {len(query)} rows of split query and {len(gallery)} of split gallery; at least one of each "
            f"is needed. {REMEDY}"
        )
    return query, gallery
