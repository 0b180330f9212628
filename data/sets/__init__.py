"""The datasets by name, and where they lie."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from dsa_app.config import nearest
from dsa_app.errors import DatasetError

from ..records import Entry
from . import cuhk01, cuhk03, cuhk03_np, dukemtmcreid, joined, market1501, market1501_500k, msmt17, table
from .dataset import Dataset

SYNTHETIC = Dataset(market1501.scan, "people drawn by this project", "Draw it: dsa-data synth.", "synthetic")
FURTHER = SYNTHETIC.folder + "-"  # begins the name of another drawn dataset, with settings of its own
SETS: dict[str, Dataset] = {
    **market1501.SETS,
    **market1501_500k.SETS,
    **dukemtmcreid.SETS,
    **cuhk03.SETS,
    **cuhk03_np.SETS,
    **cuhk01.SETS,
    **msmt17.SETS,
    "synthetic": SYNTHETIC,
}
OWN_NAME = re.compile(r"[\w][\w.-]*")


def parent() -> Path:
    """Return the folder that holds all datasets: datasets, or $DSA_DATASETS."""
    return Path(os.environ.get("DSA_DATASETS", "datasets"))


def dataset(name: str) -> Dataset:
    """Return the dataset called `name`: a known one, several joined by "+", or a folder of people's own.

    Raises:
        DatasetError: with the nearest known name if there is none, or if it is in no known form.
    """
    if name in SETS:
        return SETS[name]
    if is_drawn(name):
        return dataclasses.replace(SYNTHETIC, source=f"Draw it: dsa-data synth --dataset {name}.", folder=name)
    if joined.SIGN in name:
        return _joined(joined.check_distinct(name, list(SETS)))
    folder = parent() / name
    if OWN_NAME.fullmatch(name) and folder.is_dir():
        return table.own(name, folder)
    raise DatasetError(
        f"Unknown dataset {name!r}.{nearest(name, SETS)} Your own pictures go into {parent()}/<name> "
        "(docs/datasets.md)."
    )


def is_drawn(name: str) -> bool:
    """Tell whether a name is that of a dataset that this project draws: "synthetic", "synthetic-tables", …."""
    return name == SYNTHETIC.folder or (name.startswith(FURTHER) and OWN_NAME.fullmatch(name) is not None)


def dataset_root(name: str) -> Path:
    """Return the folder of a dataset, datasets/<its folder>, under $DSA_DATASETS if that is set."""
    return dataset(name).root(parent())


def scan(name: str, root: Path | None = None) -> list[Entry]:
    """List a dataset's pictures. Raises DatasetError if its folder is missing or not as it should be."""
    return _listed(dataset(name), root or dataset_root(name))


def _listed(found: Dataset, place: Path) -> list[Entry]:
    if not place.is_dir():
        raise DatasetError(f"{place} is missing. {found.source} ($DSA_DATASETS names another parent folder.)")
    return found.scan(place)


def _joined(names: list[str]) -> Dataset:
    parts = [dataset(name) for name in names]

    def scan_all(root: Path) -> list[Entry]:
        places = [part.root(root) for part in parts]
        listed = [_listed(part, place) for part, place in zip(parts, places, strict=True)]
        folders = [place.relative_to(root).as_posix() for place in places]
        return joined.join(list(zip(folders, listed, strict=True)))

    title = f"trained on {', '.join(names)}, tested on {names[0]}"
    return Dataset(scan_all, title, " ".join(part.source for part in parts), ".", gallery=parts[0].gallery)
