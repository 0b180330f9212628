"""The DSAP stores of an ablation: rows with other part images, and semantics with other error rates, have their own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from densepose_extract.config import ExtractConfig
from densepose_extract.engines.make import make_engine
from densepose_extract.stage import extract
from dsa_app.config import to_dict
from dsa_app.errors import StoreError
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsap.config import WarpConfig
from dsap.stage import build

from ..result_settings import AVERAGE
from .trainings import Folders, Training


def build_stores(todo: Sequence[Training], folders: Folders, jobs: int) -> list[Path | None]:
    """Return the DSAP store of each training, built if it does not exist; None for trainings that need none.

    Raises StoreError if the dataset has no store yet, and what stage one and stage two raise.
    """
    built: dict[str, Path] = {}
    stores = []
    for training in todo:
        warp = to_dict(training.settings.section("warp", WarpConfig))
        key = json.dumps([training.rate, _stated(training), _averaged(training), warp])
        if training.train.needs_store and key not in built:
            built[key] = _store(training, folders, jobs)
        stores.append(built[key] if training.train.needs_store else None)
    return stores


def _stated(training: Training) -> str:
    """Return what the name of a training's maps says of their confidences; empty for maps without any."""
    wanted = training.settings.section("extract", ExtractConfig)
    return f"-known-{wanted.errors.known:g}" if wanted.confidence else ""


def _store(training: Training, folders: Folders, jobs: int) -> Path:
    """Return the DSAP store of a training's settings: the dataset's own, or one beside the ablation's results."""
    own, warp = folders.artifacts / "dsap.h5", training.settings.section("warp", WarpConfig)
    maps = folders.artifacts / "iuv.h5"
    stores = folders.artifacts / "ablation" / "stores"
    if training.rate is not None:
        maps = _extract(training, folders, stores / f"iuv-rate-{training.rate:g}{_stated(training)}.h5")
    elif not own.exists():
        raise StoreError(f"{own} does not exist. Build it first: dsap build.")
    elif _averaged(training):
        maps = _extract(training, folders, stores / f"iuv-{AVERAGE}.h5")
    elif DsapStore(own).header.configuration["warp"] == to_dict(warp):
        return own
    name = "-".join(str(value) for value in (maps.stem, *to_dict(warp).values()))
    return build(folders.manifest, maps, stores / f"{name}.h5", warp, folders.root, jobs=jobs, overwrite=True)


def _averaged(training: Training) -> bool:
    """Return whether the images of a training get the average person's map in place of their own."""
    return training.settings.section("extract", ExtractConfig).engine == AVERAGE


def _extract(training: Training, folders: Folders, path: Path) -> Path:
    """Make the maps of a training's own extraction."""
    wanted = training.settings.section("extract", ExtractConfig)
    if _averaged(training):
        wanted = dataclasses.replace(wanted, maps=str(folders.artifacts / "iuv.h5"))
    engine = make_engine(wanted, training.settings.dataset, folders.root, read_manifest(folders.manifest))
    extract(folders.manifest, folders.root, path, training.settings.dataset, engine, overwrite=True)
    return path
