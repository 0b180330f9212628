"""Several datasets as one, `market1501+dukemtmcreid`: trained on all of them, tested on the first.

Every dataset's identities and cameras are moved past those of the ones before, so that none collide; the first keeps
its numbers. Pictures keep their paths, below the parent folder of all datasets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dsa_app.errors import DatasetError

from ..records import Entry

SIGN = "+"


def check_distinct(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that are joined in `name`; `known` are the datasets with published persons.

    Raises:
        DatasetError: if two of them show the same persons: those who are tested would be trained on.
    """
    parts = name.split(SIGN)
    people = [part.split("-")[0] if part in known else part for part in parts]
    twice = [part for part, whose in zip(parts, people, strict=True) if people.count(whose) > 1]
    if twice:
        raise DatasetError(f"{name}: {' and '.join(twice)} show the same persons. Join different datasets.")
    return parts


def join(parts: Sequence[tuple[str, Sequence[Entry]]]) -> list[Entry]:
    """Join the pictures of several datasets, each given with its folder: all of the first, training of the others."""
    joined: list[Entry] = []
    for number, (folder, entries) in enumerate(parts):
        used = [entry for entry in entries if number == 0 or entry.split == "train"]
        pids, camids = _shift(joined, used, "pid"), _shift(joined, used, "camid")
        joined += [
            dataclasses.replace(entry, key=f"{folder}/{entry.key}", pid=entry.pid + pids, camid=entry.camid + camids)
            for entry in used
        ]
    return joined


def _shift(before: Sequence[Entry], new: Sequence[Entry], name: str) -> int:
    """Return what moves the smallest number of `new` just past the greatest of `before`."""
    if not before or not new:
        return 0
    greatest: int = max(getattr(entry, name) for entry in before)
    least: int = min(getattr(entry, name) for entry in new)
    return greatest - least + 1
