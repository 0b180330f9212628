"""The datasets by name, and their folders."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from dsa_app.config import suggestion
from dsa_app.errors import DatasetError
from dsa_app.wording import shown

from ..records import Entry
from . import (
    cuhk01,
    cuhk03,
    cuhk03_np,
    dukemtmcreid,
    grid,
    ilids,
    joined,
    ltcc,
    market1501,
    market1501_500k,
    mars,
    msmt17,
    occluded,
    prcc,
    prid2011,
    rendered,
    table,
    viper,
)
from .dataset import Dataset

SYNTHETIC = Dataset(rendered.scan, "rendered people, made by this project", "Render it: dsa-data synth.", "synthetic")
FURTHER = SYNTHETIC.folder + "-"  # begins the name of a further synthetic dataset, with its own settings
SETS: dict[str, Dataset] = {
    **market1501.SETS,
    **market1501_500k.SETS,
    **dukemtmcreid.SETS,
    **cuhk03.SETS,
    **cuhk03_np.SETS,
    **cuhk01.SETS,
    **msmt17.SETS,
    **occluded.SETS,
    **ltcc.SETS,
    **prcc.SETS,
    **viper.SETS,
    **grid.SETS,
    **prid2011.SETS,
    **ilids.SETS,
    **mars.SETS,
    "synthetic": SYNTHETIC,
}
OWN_NAME = re.compile(r"\w[\w.-]{0,99}")


def parent() -> Path:
    """Return the folder that holds all datasets: datasets, or $DSA_DATASETS."""
    return Path(os.environ.get("DSA_DATASETS", "datasets"))


def listed() -> list[dict[str, Any]]:
    """Return all datasets as plain values, for JSON: name, title, folder, and whether it is there."""
    published = [(name, one.title, parent() / one.folder) for name, one in SETS.items()]
    own = [(name, title, parent() / name) for name, title in others().items()]
    return [
        {"name": name, "title": title, "folder": str(folder), "exists": folder.is_dir()}
        for name, title, folder in (*published, *own)
    ]


def others() -> dict[str, str]:
    """Return the names and titles of the datasets in the parent folder that are not published: the user's, synthetic.

    A folder whose layout is not read is listed with the reason.
    """
    known = {dataset.folder for dataset in SETS.values()}
    folders = sorted(path for path in parent().iterdir() if path.is_dir()) if parent().is_dir() else []
    titles = {}
    for name in (folder.name for folder in folders):
        if name in known or name.startswith("."):
            continue
        if not OWN_NAME.fullmatch(name):
            titles[name] = 'not usable under this name: rename it with letters, digits, ".", "-" and "_"'
            continue
        try:
            titles[name] = dataset(name).title
        except DatasetError:
            titles[name] = f"not readable as a dataset: dsa-data check --dataset {name} says why"
    return titles


def dataset(name: str) -> Dataset:
    """Return the dataset `name`: a known one, several joined by "+", or the user's own, by the name of its folder.

    Raises:
        DatasetError: for an unknown name, with the nearest known one, or for a folder of an unknown layout.
    """
    if name in SETS:
        return SETS[name]
    if is_synthetic(name):
        return dataclasses.replace(SYNTHETIC, source=f"Render it: dsa-data synth --dataset {name}.", folder=name)
    if joined.SIGN in name:
        return _joined(joined.check_distinct(name, {known: one.persons for known, one in SETS.items()}))
    folder = parent() / name
    if OWN_NAME.fullmatch(name) and folder.is_dir():
        return table.own(name, folder)
    near = suggestion(name, SETS)
    near = near if "Did you mean" in near else " dsa-data list prints the known names."
    raise DatasetError(
        f"Unknown dataset {shown(name)}.{near} The images of your own dataset go into {parent()}/<name> "
        "(docs/datasets.md)."
    )


def is_synthetic(name: str) -> bool:
    """Return whether a name is that of a synthetic dataset: "synthetic", "synthetic-tables", …."""
    return name == SYNTHETIC.folder or (name.startswith(FURTHER) and OWN_NAME.fullmatch(name) is not None)


def dataset_root(name: str) -> Path:
    """Return the folder of a dataset, datasets/<its folder>, under $DSA_DATASETS if that is set."""
    return dataset(name).root(parent())


def scan(name: str, root: Path | None = None) -> list[Entry]:
    """Return the entries of a dataset's images. Raises DatasetError if its folder is missing or has another layout."""
    return _scan(dataset(name), root or dataset_root(name))


def _scan(dataset: Dataset, root: Path) -> list[Entry]:
    if not root.is_dir():
        raise DatasetError(f"{root} is missing. {dataset.source} ($DSA_DATASETS is the parent folder, if set.)")
    return dataset.scan(root)


def _joined(names: list[str]) -> Dataset:
    parts = [dataset(name) for name in names]

    def scan_all(parent: Path) -> list[Entry]:
        roots = [part.root(parent) for part in parts]
        entries = [_scan(part, root) for part, root in zip(parts, roots, strict=True)]
        folders = [root.relative_to(parent).as_posix() for root in roots]
        return joined.join(list(zip(folders, entries, strict=True)))

    title = f"trained on {', '.join(names)}, tested on {names[0]}"
    return Dataset(scan_all, title, " ".join(part.source for part in parts), ".", gallery=parts[0].gallery)
