"""The datasets by name, and where they lie."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from ..config import nearest
from ..errors import DatasetError
from ..records import Entry
from . import market1501


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset: how to list its pictures, and how to come by it."""

    scan: Callable[[Path], list[Entry]]
    title: str
    source: str


SETS = {
    "market1501": Dataset(
        market1501.scan,
        "Market-1501",
        "Download Market-1501-v15.09.15.zip from its authors and unpack it there.",
    ),
    "synthetic": Dataset(market1501.scan, "people drawn by this project", "Draw it: dsa-data synth."),
}


def dataset(name: str) -> Dataset:
    """Return the dataset called `name`. Raises DatasetError with the nearest known name."""
    if name not in SETS:
        raise DatasetError(f"No dataset is called {name!r}.{nearest(name, SETS)}")
    return SETS[name]


def dataset_root(name: str) -> Path:
    """Return the folder of a dataset: datasets/<name>, under $DSA_DATASETS if that is set."""
    dataset(name)
    return Path(os.environ.get("DSA_DATASETS", "datasets")) / name


def scan(name: str, root: Path | None = None) -> list[Entry]:
    """List a dataset's pictures. Raises DatasetError if its folder is missing or not as it should be."""
    place = root or dataset_root(name)
    if not place.is_dir():
        raise DatasetError(f"{place} is missing. {dataset(name).source} ($DSA_DATASETS names another parent folder.)")
    return dataset(name).scan(place)
