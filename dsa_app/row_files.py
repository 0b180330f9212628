"""Rows in a file for other programs: CSV, JSON (a list of objects), or Parquet (the extra `parquet`)."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsa_reid.atomic import write_atomic
from dsa_reid.extras import install_command

from .errors import ConfigError, DatasetError
from .file_names import why_no_file
from .guard import guarded

SUFFIXES = (".csv", ".json", ".parquet")
Row = Mapping[str, Any]  # text, numbers, True and False, or None, by the name of the column


def check_rows_file(path: Path, option: str) -> None:
    """Raise ConfigError, before any work, unless rows can be written to a file of this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{option} {path}: expected a name that ends in {', '.join(SUFFIXES)}.")
    if path.suffix.lower() == ".parquet":
        _pyarrow()


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows, in the format of the file's name, whole or not at all; return its path.

    All rows have the columns of the first. A number that is NaN, and None, are empty in CSV and null elsewhere. Raises
    ConfigError for another format, and for Parquet if pyarrow is not installed.
    """
    check_rows_file(path, "The file")
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    if path.suffix.lower() == ".json":
        return write_atomic(path, (json.dumps(plain, indent=1) + "\n").encode())
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(plain[0]) if plain else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in plain)
        return write_atomic(path, text.getvalue().encode())
    pyarrow = _pyarrow()
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain), buffer)
    return write_atomic(path, buffer.getvalue().to_pybytes())


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a file that `write_rows` wrote; in CSV all values are text, and an empty one is None.

    Raises DatasetError if it is missing, damaged, or lacks one of `columns`; ConfigError as `write_rows` does.
    """
    check_rows_file(path, "The file")
    if not path.is_file():
        raise DatasetError(f"{path} {why_no_file(path)}. Name a file of rows ({', '.join(SUFFIXES)}).")
    with guarded(DatasetError, path, f"is not a {path.suffix[1:]} file of rows", "Write it again."):
        rows = _read(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("expected a list of objects")
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise DatasetError(f"{path} has no column {', '.join(missing)}. Write it again.")
    return rows


def _read(path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {name: None if value == "" else value for name, value in row.items()}
                for row in csv.DictReader(file, strict=True)
            ]
    return _pyarrow().parquet.read_table(path).to_pylist()


def _plain(value: Any) -> Any:
    """Return a value as text, a number or None; a number of NumPy as Python's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _text(value: Any) -> Any:
    return {True: "true", False: "false", None: ""}[value] if value is None or isinstance(value, bool) else value


def _pyarrow() -> Any:
    """Return pyarrow with its module for Parquet. Raises ConfigError if it is not installed."""
    try:
        pyarrow = importlib.import_module("pyarrow")
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(f"Parquet needs pyarrow. Install it: {install_command('parquet')}") from None
    return pyarrow
