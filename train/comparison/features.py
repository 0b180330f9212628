"""Features of other programs, or of `dsa-train embed`, as query and gallery of a dataset.

Two kinds of files are read: our feature store (.h5), whose rows belong to the images of the manifest by their keys; and
.npz with the arrays `features` (N, D), `pid` (N), `camid` (N) and `split` (N), "query" or "gallery", and by option
`dataset`, its name.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dsa_app.errors import StoreError
from dsa_data.records import Record, read_manifest
from dsa_data.stores.features import FeatureStore
from dsa_reid.model import digest_of

from ..evaluation.config import EvaluateConfig
from ..evaluation.retrieval import Side, camera_numbers

ARRAYS = ("features", "pid", "camid", "split")
SPLITS = ("query", "gallery")
FORM = (
    "Write it by numpy.savez(FILE, features=…, pid=…, camid=…, split=…): one row of float, two integers and the word "
    "'query' or 'gallery' for each image."
)


class Sides(NamedTuple):
    """Query and gallery of a file of features, and the digest that other features do not have."""

    query: Side
    gallery: Side
    digest: str


def dataset_of(path: Path) -> str:
    """Return the name of the dataset that a file's features are of; empty if the file does not say it.

    Raises StoreError for a file that cannot be read.
    """
    if path.suffix != ".npz":
        store = FeatureStore(path)
        store.close()
        return str(store.header.dataset)
    arrays = _arrays(path)
    return str(arrays["dataset"]) if "dataset" in arrays else ""


def read_sides(path: Path, manifest: Path, config: EvaluateConfig) -> Sides:
    """Return query and gallery with the features of a file.

    Args:
        manifest: lists the images of a feature store; not read for a .npz.

    Raises StoreError for a file that is damaged, of another form, or without an image of query or gallery.
    """
    return _of_arrays(path, config) if path.suffix == ".npz" else _of_store(path, manifest, config)


def _of_store(path: Path, manifest: Path, config: EvaluateConfig) -> Sides:
    store = FeatureStore(path)
    rows = {key: row for row, key in enumerate(store.keys)}
    every = store.read()
    found = []
    for split in SPLITS:
        records = read_manifest(manifest, [split])
        for record in records:
            if record.key not in rows or store.digests[rows[record.key]] != record.digest:
                raise StoreError(
                    f"{path} has no feature of {record.key} as {manifest} lists it. Embed query and gallery: dsa-train "
                    f"embed --dataset NAME --split query --split gallery --out {path} --overwrite"
                )
        own = every[[rows[record.key] for record in records]].astype(np.float32)
        found.append(Side(own, records, camera_numbers(records, config)))
    identity = store.identity
    store.close()
    query, gallery = found
    return Sides(query, gallery, identity)


def _of_arrays(path: Path, config: EvaluateConfig) -> Sides:
    arrays = _arrays(path)
    features, split = arrays["features"], arrays["split"].astype(str)
    found = []
    for name in SPLITS:
        rows = np.flatnonzero(split == name)
        if not len(rows):
            raise StoreError(f"{path}: no row of split is {name!r}. {FORM}")
        records = [
            Record(
                f"{name}/{row}", name, int(arrays["pid"][row]), int(arrays["camid"][row]), 1, 1, _row_digest(int(row))
            )
            for row in rows
        ]
        found.append(Side(features[rows].astype(np.float32), records, camera_numbers(records, config)))
    query, gallery = found
    return Sides(query, gallery, digest_of(path))


def _row_digest(row: int) -> str:
    """Return a digest that differs between rows, as the images' would."""
    return hashlib.sha256(str(row).encode()).hexdigest()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz. Raises StoreError for another file; no code in it is run."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*ARRAYS, "dataset") if name in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read ({str(error)[:100]}). {FORM}") from None
    if lost := [name for name in ARRAYS if name not in arrays]:
        raise StoreError(f"{path} has no array {lost[0]!r}. {FORM}")
    shapes = {name: arrays[name].shape for name in ARRAYS}
    rows = shapes["features"][:1]
    fits = len(shapes["features"]) == 2 and all(shapes[name] == rows for name in ARRAYS[1:])
    kinds = arrays["features"].dtype.kind == "f" and all(arrays[name].dtype.kind in "iu" for name in ("pid", "camid"))
    if not (fits and kinds and arrays["split"].dtype.kind in "US"):
        listed = ", ".join(f"{name} {arrays[name].dtype}{shape}" for name, shape in shapes.items())
        raise StoreError(f"{path} has {listed[:200]}. {FORM}")
    if not np.isfinite(arrays["features"]).all():
        raise StoreError(f"{path}: a feature is not a number (NaN) or infinite. {FORM}")
    return arrays
