"""Random divisions of small datasets into persons to train on and persons to test on, ten of them.

Their authors published none. Those of this project need no file: a split orders the persons by the SHA-256 of its own
number and theirs, so that anyone can make them again, in any language.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..records import Entry

SPLITS = 10
Name = TypeVar("Name", int, str)


def every_split(
    entries: Sequence[Entry], divide: Callable[[Sequence[Entry], int], list[Entry]]
) -> dict[str, list[Entry]]:
    """Return the entries as every split divides them, by its name: split00, split01, …."""
    return {f"split{number:02}": divide(entries, number) for number in range(SPLITS)}


def shuffled(names: Iterable[Name], dataset: str, split: int) -> list[Name]:
    """Return names (numbers of persons, or of images) in a split's random order.

    They are sorted by the SHA-256 of "dataset split name", as in "viper 0 17".
    """
    return sorted(names, key=lambda name: hashlib.sha256(f"{dataset} {split} {name}".encode()).digest())


def tested(persons: Iterable[int], dataset: str, split: int, trained: int) -> set[int]:
    """Return the persons that a split tests: all but the first `trained` in its random order."""
    return set(shuffled(set(persons), dataset, split)[trained:])
