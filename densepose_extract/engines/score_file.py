"""A table of scores for maps that were made elsewhere, whose files hold none."""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsa_app.errors import ImageError
from dsa_app.guard import guarded
from dsa_app.wording import shortened

NAMES = ("key", "image", "file_name", "filename", "file", "name")  # of the column that says which image


@dataclass(frozen=True)
class Scores:
    """The scores of maps.

    Attributes:
        of: score and confidence of each key, NaN where there is none.
        confidences: whether the table has them.
    """

    of: dict[str, tuple[float, float]]
    confidences: bool


def read_scores(path: Path, keys: Sequence[str]) -> Scores:
    """Return the scores of images, a line each: its key, or its file name if that is unique, and a score.

    A column `confidence`, from 0 to 1, may say how sure each map is.

    Raises ImageError for a file without these columns, a value that is no number, and an image that has no line.
    """
    with guarded(ImageError, path, "is not a table of scores", "Write a CSV file with the columns key and score."):
        text = path.read_text(encoding="utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = [name.strip().lower() for name in rows.fieldnames or []]
        rows.fieldnames = columns
        which = next((name for name in NAMES if name in columns), None)
        if which is None or not {"score", "confidence"} & set(columns):
            named = shortened(", ".join(columns)) or "(none)"
            raise ImageError(f"{path} has the columns {named}: expected key and score, or key and confidence.")
        lines = [(number, row) for number, row in enumerate(rows, start=2)]
    found: dict[str, tuple[float, float]] = {}
    for number, row in lines:
        name = unicodedata.normalize("NFC", (row[which] or "").strip()).replace("\\", "/")
        if name in found:
            raise ImageError(f"{path}, line {number}: {shortened(name)} has a line already. Remove one.")
        score = _number(row.get("score"), path, number, "score", math.inf)
        found[name] = score, _number(row.get("confidence"), path, number, "confidence", 1)
    return Scores(_of_keys(found, path, keys), "confidence" in columns)


def _of_keys(found: dict[str, tuple[float, float]], path: Path, keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the numbers of each key: those of its own line, else those of the line with its name, if it is unique."""
    names = [unicodedata.normalize("NFC", key) for key in keys]
    short = [name.rsplit("/", 1)[-1] for name in names]
    scores = {}
    for key, name, last in zip(keys, names, short, strict=True):
        if name in found:
            scores[key] = found[name]
        elif last in found and short.count(last) == 1:
            scores[key] = found[last]
        else:
            raise ImageError(f"{path} has no line for {key}. Add one, with the image's path or its unique name.")
    return scores


def _number(text: str | None, path: Path, line: int, column: str, greatest: float) -> float:
    """Return a number of the table, NaN for an empty cell."""
    if text is None or not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not (math.isfinite(value) and 0 <= value <= greatest):
        limit = "0 to 1" if greatest == 1 else "0 or more"
        raise ImageError(f"{path}, line {line}: {column} {text.strip()[:40]!r} is invalid, expected a number, {limit}.")
    return value
