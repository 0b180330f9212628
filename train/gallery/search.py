"""Queries against a file of features: the same model on both sides, exactly or by an index kept beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from dsa_app.errors import StoreError
from dsa_reid.atomic import atomic, write_atomic
from dsa_reid.model import Model
from dsa_reid.nearest import Kind, Ranking, build_index, require_faiss, search, search_index
from dsa_reid.regions import Explanation, explain

from .feature_files import FeatureFile

Engine = Literal["numpy", "flat", "ivf", "hnsw"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
FORMAT = "dsa-reid index"
SAMPLE = 2048  # gallery rows that tell what a distance in a region is worth


def check_same_model(gallery: FeatureFile, model: Model, model_path: Path) -> None:
    """Raise StoreError unless the features were made by `model`."""
    if gallery.origin.model != model.digest:
        raise StoreError(
            f"{gallery.path} holds features of the model {gallery.origin.model[:12]}, {model_path} is "
            f"{model.digest[:12]}: their distances mean nothing. Name that model, or embed again: dsa-train embed."
        )


def rank(
    query: np.ndarray,
    gallery: FeatureFile,
    top: int,
    engine: Engine = "numpy",
    index: Path | None = None,
    overwrite: bool = False,
) -> Ranking:
    """Find the nearest of a gallery.

    Args:
        query: float (Q, D).
        gallery: read a block at a time by the engine "numpy".
        engine: "numpy", or the kind of a FAISS index, which is built and kept if it is not there.
        index: of the FAISS index; beside the features if None.
        overwrite: build an index anew that was built from other features.

    Raises:
        StoreError: for an index of other features, or one that cannot be read.
        ModelError: if FAISS is not installed.
    """
    if engine == "numpy":
        return search(query, gallery, top)
    return search_index(_index(gallery, engine, index or index_file(gallery.path, engine), overwrite), query, top)


def index_file(features: Path, kind: Kind) -> Path:
    """Return where the index of a file of features is kept."""
    return features.with_name(f"{features.name}.{kind}.faiss")


def explain_found(query: np.ndarray, places: np.ndarray, gallery: FeatureFile) -> list[Explanation]:
    """Tell for each query which regions agreed with what was found.

    Args:
        query: float (Q, D).
        places: int (Q, K); -1 for none, which only comes last.
        gallery: at most 2,048 of its rows, spread evenly, tell what a distance is worth.

    Returns:
        Q explanations, of as many as were found each.
    """
    sample = torch.from_numpy(_sample(gallery))
    explained = []
    for feature, row in zip(query, places, strict=True):
        found = np.concatenate([gallery[place : place + 1] for place in row[row >= 0].tolist()])
        one = explain(torch.from_numpy(feature), torch.from_numpy(found).float(), sample, gallery.origin.parts)
        explained.append(one)
    return explained


def _sample(gallery: FeatureFile) -> np.ndarray:
    return gallery[:: max(1, math.ceil(len(gallery) / SAMPLE))].astype(np.float32)


def _index(gallery: FeatureFile, kind: Kind, path: Path, overwrite: bool) -> Any:
    """Read the index at `path`, or build it."""
    faiss = require_faiss()
    about, note = {"format": FORMAT, "kind": kind, "features": gallery.identity}, path.with_name(path.name + ".json")
    if path.exists() and not overwrite:
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            # an inverted file is left on disk and read where it is searched
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP if kind == "ivf" else 0)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{path} cannot be read ({reason}). Build it again with --overwrite.") from None
        if found != about:
            raise StoreError(
                f"{path} was built from other features than {gallery.path} holds now, or is of another kind. "
                "Build it again with --overwrite."
            )
        return index
    index = build_index(gallery, kind)
    note.unlink(missing_ok=True)  # killed between the two files, the index has no note and is refused
    with atomic(path) as part:
        faiss.write_index(index, str(part))
    write_atomic(note, (json.dumps(about, sort_keys=True) + "\n").encode())
    return index
