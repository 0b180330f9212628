"""Several datasets joined, as in `market1501+dukemtmcreid`: trained on all of them, tested on the first.

The identities and cameras of each further dataset are renumbered to follow those of the datasets before it, so that no
two are the same. Keys of images are relative to the parent folder of all datasets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from dsa_app.errors import DatasetError

from ..records import Entry

SIGN = "+"


def check_distinct(name: str, persons: Mapping[str, str]) -> list[str]:
    """Return the names that are joined in `name`.

    Args:
        persons: of each published dataset, whose images they are; "" for its name's part before "-".

    Raises:
        DatasetError: for an empty name, or if two of them show the same persons: test identities would be in training.
    """
    parts = name.split(SIGN)
    if not all(parts):
        raise DatasetError(
            f"{name!r} joins datasets by {SIGN!r}, and a name is missing. Write as in market1501+msmt17."
        )
    # Names of one dataset under several protocols have the same beginning: cuhk03-labeled, cuhk03-np-detected.
    people = [persons[part] or part.split("-")[0] if part in persons else part for part in parts]
    twice = [part for part, shown in zip(parts, people, strict=True) if people.count(shown) > 1]
    if twice:
        raise DatasetError(f"{name}: {' and '.join(twice)} show the same persons. Join different datasets.")
    return parts


def join(parts: Sequence[tuple[str, Sequence[Entry]]]) -> list[Entry]:
    """Return the entries of several datasets, each given with its folder: all of the first, training of the others."""
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
    """Return what to add to `new` so that its smallest number follows the greatest of `before`."""
    if not before or not new:
        return 0
    greatest: int = max(getattr(entry, name) for entry in before)
    least: int = min(getattr(entry, name) for entry in new)
    return greatest - least + 1
