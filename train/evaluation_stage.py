"""What `dsa-train evaluate` does: a trained network and a dataset to Rank-k, mAP and mINP in a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dsa_app.config import build
from dsa_app.errors import TrainingError
from dsa_data.records import Record, read_manifest
from dsa_data.synthetic.dataset import read_views
from dsa_reid.atomic import atomic
from dsa_reid.main_stream import MainStream
from dsa_reid.model import load
from dsa_reid.preprocessing import Preprocessing
from dsap.config import WarpConfig

from . import checkpoint
from .batches.dataset import Images, open_store
from .batches.guidance import guide_weight
from .config import TrainConfig
from .device import choose_device, memory_explained
from .evaluation import metrics
from .evaluation.config import EvaluateConfig
from .evaluation.distmat import Rows
from .evaluation.features import check_match, extract
from .evaluation.kept_features import file_digest, kept_features
from .evaluation.retrieval import Side, compare, read_retrieval, sides
from .evaluation.views import Bin
from .network.two_stream import TwoStream
from .stage import preprocessing_of

RANKS = (1, 5, 10)
MULTIQUERY = "multiquery.csv"  # in the folder `protocols` beside the manifest


@dataclasses.dataclass(frozen=True)
class Task:
    """Which network is to be measured on which pictures.

    Args:
        manifest: lists the pictures.
        root: the dataset's folder.
        dsap: the DSAP store, not opened for the match "main".
        source: a run's folder, of which the match "main" needs model.pt alone and another checkpoint.pt; or a model
            file itself.
        warp: what the DSAP should have been built with; None to take it as it is.
        keep: folder where features are kept and found again; None to keep none.
        dataset: its name, kept with the features.
    """

    manifest: Path
    root: Path
    dsap: Path
    source: Path
    warp: WarpConfig | None = None
    keep: Path | None = None
    dataset: str = ""


class Measures(NamedTuple):
    """What came of an evaluation.

    Args:
        found: what metrics.json holds.
        cmc: the CMC curve.
        pairs: the measures by (query camera, gallery camera), if asked for.
        views: the measures by view difference, if asked for.
    """

    found: dict[str, float | int | str]
    cmc: np.ndarray
    pairs: dict[tuple[int, int], metrics.Result]
    views: dict[Bin, metrics.Result]


def evaluate(task: Task, config: EvaluateConfig, between_cameras: bool = False, by_view: bool = False) -> Measures:
    """Measure a trained network on query and gallery.

    Raises:
        ModelError, CheckpointError, StoreError, DatasetError, PictureError: for what cannot be read or does not fit.
        TrainingError: if the network has no such feature, or nothing can be measured.
    """
    views = _views(task) if by_view else None  # first, since it may be refused
    query, gallery, device = prepare(task, config)
    compared = compare(query, gallery, config, device, between_cameras, views)
    found = summary(compared.result, compared.chance, len(gallery.records))
    if protocol(config):
        found["protocol"] = protocol(config)
    return Measures(found, compared.result.cmc, compared.pairs, compared.views)


def prepare(task: Task, config: EvaluateConfig) -> tuple[Side, Side, torch.device]:
    """Return query and gallery with their features, and where to compare them; errors as for `evaluate`."""
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    records = read_manifest(task.manifest, ["query", "gallery"])
    more = _multiquery(task.manifest, config)
    network: MainStream | TwoStream
    if config.match == "main":
        _check_finished(task.source)
        path = task.source if task.source.is_file() else task.source / "model.pt"
        model = load(path, device)
        network, preprocessing, store = model.main_stream, model.preprocessing, None
    else:
        path = task.source / "checkpoint.pt"
        network, preprocessing = restore(task.source)
        check_match(network, config.match)
        network, store = network.to(device), open_store(task.dsap, task.warp)
    retrieval = read_retrieval(task.root, records, preprocessing, store, more)

    def features(pictures: Images, what: str) -> Rows:
        if task.keep is None or not config.keep:
            return extract(network, pictures, config.match, config.batch, what=what, flip=config.flip).numpy()
        place = task.keep / config.match / f"{what}{'-flip' if config.flip else ''}.h5"
        return kept_features(place, network, file_digest(path), pictures, config, task.dataset)

    with memory_explained(f"{config.batch} pictures at once", "Take fewer: --set evaluate.batch=8."):
        return *sides(retrieval, config, features), device


def protocol(config: EvaluateConfig) -> str:
    """Return what is unlike single query over the whole gallery, in words; empty for none of it."""
    said = {
        f"one gallery picture of each identity, drawn {config.repeats} times": config.gallery == "single-shot",
        f"multi-query by the {config.multiquery}": config.multiquery != "off",
        "the query's camera is not left out": config.cameras == "ignore",
        "flip test": config.flip,
        "average precision by trapezoids": config.trapezoid,
        f"queries expanded by {config.expansion.neighbours}": config.expansion.neighbours > 0,
        "re-ranked": config.rerank.on,
    }
    return "; ".join(words for words, so in said.items() if so)


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
    network.guide_weight.fill_(guide_weight(state["epoch"] - 1, config.guidance))  # as it ended
    return network, preprocessing_of(config)


def summary(result: metrics.Result, chance: float, gallery: int) -> dict[str, float | int | str]:
    """Return what metrics.json holds: fractions, and what they were counted over."""
    return {
        **{f"rank{k}": result.rank(k) for k in RANKS},
        "mAP": result.mAP,
        "mINP": result.mINP,
        "chance_mAP": chance,
        "queries": result.queries,
        "queries_left_out": result.left_out,
        "gallery": gallery,
    }


def write(path: Path, found: Mapping[str, float | int | str], cmc: np.ndarray) -> Path:
    """Write metrics.json and, for DVC's plots, cmc.json beside it; return the former."""
    curve = [{"rank": k, "share": float(share)} for k, share in enumerate(cmc, start=1)]
    write_json(path.with_name("cmc.json"), curve)
    return write_json(path, dict(found))


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, whole or not at all; return its path."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _views(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return from which side query and gallery were taken, in degrees. Raises DatasetError unless they were drawn."""
    query, gallery = (
        read_views(task.root, [record.key for record in read_manifest(task.manifest, [split])])
        for split in ("query", "gallery")
    )
    return query, gallery


def _multiquery(manifest: Path, config: EvaluateConfig) -> list[Record]:
    """Return the pictures that ask beside the queries, if any do."""
    if config.multiquery == "off":
        return []
    if config.match != "main":
        raise TrainingError(
            f"Multi-query is for the match 'main': the match {config.match!r} needs part pictures, and the further "
            "pictures of the queries have none. Say --match main."
        )
    path = manifest.parent / "protocols" / MULTIQUERY
    if not path.exists():
        raise TrainingError(
            f"{path} is missing: multi-query needs further pictures of the queries, as Market-1501's gt_bbox has them. "
            "Put that folder in its place and list again, dsa-data prepare, or leave evaluate.multiquery at off."
        )
    return read_manifest(path)


def _check_finished(run: Path) -> None:
    """Refuse a run that has a checkpoint but, not having come to its end, no model."""
    if (run / "checkpoint.pt").exists() and not (run / "model.pt").exists():
        raise TrainingError(f"{run} is not trained to its end. Go on with it: the same dsa-train run again.")
