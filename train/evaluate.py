"""What `dsa-train evaluate` does: a trained network and a dataset to Rank-k, mAP and mINP in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.config import build
from data.errors import TrainingError
from data.records import read_manifest
from dsa_reid.main_stream import MainStream
from dsa_reid.model import load
from dsa_reid.preprocessing import Preprocessing
from dsap.config import WarpConfig

from . import checkpoint, metrics
from .config import EvaluateConfig, TrainConfig
from .dataset import open_store
from .device import choose_device, memory_explained
from .features import check_match
from .network import TwoStream
from .retrieval import Retrieval, measure, read_retrieval

RANKS = (1, 5, 10)


def evaluate(
    manifest: Path, root: Path, dsap: Path, source: Path, config: EvaluateConfig, warp: WarpConfig | None = None
) -> tuple[dict[str, float | int], np.ndarray]:
    """Measure a trained network on query and gallery.

    Args:
        manifest: lists the pictures.
        root: the dataset's folder.
        dsap: the DSAP store, not opened for the match "main".
        source: a run's folder, of which the match "main" needs model.pt alone and another checkpoint.pt; or a model
            file itself.
        warp: what the DSAP should have been built with; None to take it as it is.

    Returns:
        What metrics.json holds, and the CMC curve.

    Raises:
        ModelError, CheckpointError, StoreError, DatasetError, PictureError: for what cannot be read or does not fit.
        TrainingError: if the network has no such feature, or nothing can be measured.
    """
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    records = read_manifest(manifest, ["query", "gallery"])
    network: MainStream | TwoStream
    if config.match == "main":
        _check_finished(source)
        model = load(source if source.is_file() else source / "model.pt", device)
        network, preprocessing, store = model.main_stream, model.preprocessing, None
    else:
        network, preprocessing = restore(source)
        check_match(network, config.match)
        network, store = network.to(device), open_store(dsap, warp)
    retrieval = read_retrieval(root, records, preprocessing, store)
    with memory_explained(f"{config.batch} pictures at once", "Take fewer: --set evaluate.batch=8."):
        result, chance = measure(network, retrieval, config)
    return summary(result, chance, retrieval), result.cmc


def restore(run: Path) -> tuple[TwoStream, Preprocessing]:
    """Return the whole network of a finished run, with what it does to pictures, from its checkpoint."""
    if run.is_file():
        raise TrainingError(f"{run} holds the main stream alone. This match needs the run's folder: --run {run.parent}")
    _check_finished(run)
    path = run / "checkpoint.pt"
    state = checkpoint.load(path)
    made_with = state["configuration"]
    config = build(TrainConfig, made_with["train"], str(path))
    network = TwoStream(config.network, made_with["identities"])
    network.load_state_dict(state["network"])
    return network, Preprocessing(config.height, config.width)


def summary(result: metrics.Result, chance: float, retrieval: Retrieval) -> dict[str, float | int]:
    """Return what metrics.json holds: fractions, and what they were counted over."""
    return {
        **{f"rank{k}": result.rank(k) for k in RANKS},
        "mAP": result.mAP,
        "mINP": result.mINP,
        "chance_mAP": chance,
        "queries": result.queries,
        "queries_left_out": result.left_out,
        "gallery": len(retrieval.gallery),
    }


def write(path: Path, found: dict[str, float | int], cmc: np.ndarray) -> Path:
    """Write metrics.json and, for DVC's plots, cmc.json beside it; return the former."""
    curve = [{"rank": k, "share": float(share)} for k, share in enumerate(cmc, start=1)]
    write_json(path.with_name("cmc.json"), curve)
    return write_json(path, found)


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, whole or not at all; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return part.replace(path)


def _check_finished(run: Path) -> None:
    """Refuse a run that has a checkpoint but, not having come to its end, no model."""
    if (run / "checkpoint.pt").exists() and not (run / "model.pt").exists():
        raise TrainingError(f"{run} is not trained to its end. Go on with it: the same dsa-train run again.")
