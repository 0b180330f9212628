"""Evaluation as a stage: from a trained network and a dataset to Rank-k, mAP and mINP in a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dsa_app.config import build
from dsa_app.errors import TrainingError
from dsa_data.check import deviations
from dsa_data.records import Record, read_manifest
from dsa_data.sets import dataset
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import digest_of as digest_of_texts
from dsa_data.synthetic.dataset import read_views
from dsa_reid.atomic import write_atomic
from dsa_reid.calibration import Calibration
from dsa_reid.main_stream import MainStream
from dsa_reid.model import digest_of, load
from dsa_reid.preprocessing import Preprocessing
from dsap.config import WarpConfig

from . import checkpoint, result_settings, run_settings
from .batches.config import GuidanceConfig
from .batches.dataset import Images
from .batches.guidance import guide_weight
from .batches.parts_store import check_confidence, open_store
from .batches.regions import has_labels
from .config import TrainConfig
from .evaluation import metrics
from .evaluation.config import EvaluateConfig, protocol
from .evaluation.distmat import Rows
from .evaluation.features import check_match, extract, lengths
from .evaluation.kept_features import kept_features
from .evaluation.multiquery import read_multiquery
from .evaluation.per_query import query_rows
from .evaluation.retrieval import Side, compare, read_retrieval, sides
from .evaluation.tracklets import joins_frames
from .evaluation.views import Bin
from .network.two_stream import TwoStream
from .results import TRAINED_ELSEWHERE, Result
from .torch_setup import choose_device, memory_explained

RANKS = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class Task:
    """Which network is evaluated on which images.

    Args:
        manifest: lists the images.
        root: the dataset's folder.
        dsap: the DSAP store, not opened for the match "main" by predicted regions.
        source: a run's folder, of which the match "main" needs model.pt alone and another checkpoint.pt; or a model
            file itself.
        warp: what the DSAP should have been built with; None for any settings.
        keep: folder where features are saved, and read when they are needed again; None to save none.
        dataset: its name, saved with the features.
    """

    manifest: Path
    root: Path
    dsap: Path
    source: Path
    warp: WarpConfig | None = None
    keep: Path | None = None
    dataset: str = ""


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Args:
        metrics: the content of metrics.json.
        cmc: the CMC curve (K,), the share of queries with a match among the first k.
        pairs: the measures by (query camera, gallery camera), if asked for.
        views: the measures by view difference, if asked for.
    """

    metrics: dict[str, Any]
    cmc: np.ndarray
    pairs: dict[tuple[int, int], metrics.Result]
    views: dict[Bin, metrics.Result]


class Measured(NamedTuple):
    """The result of an evaluation, and what was found for each query.

    Args:
        queries: a row a query, see `per_query.query_rows`.
    """

    evaluation: Evaluation
    queries: list[dict[str, Any]]


def evaluate(task: Task, config: EvaluateConfig, between_cameras: bool = False, by_view: bool = False) -> Evaluation:
    """Evaluate a trained network on query and gallery.

    Raises:
        ModelError, CheckpointError, StoreError, DatasetError, ImageError: for a file that is missing, damaged or of
            another network or dataset.
        TrainingError: if the network has no such feature, or no query has a match.
    """
    views = view_angles(task) if by_view else None  # first, since most datasets have none
    return measure(*query_and_gallery(task, config), config, between_cameras, views).evaluation


def measure(
    query: Side,
    gallery: Side,
    device: torch.device,
    config: EvaluateConfig,
    between_cameras: bool = False,
    views: tuple[np.ndarray, np.ndarray] | None = None,
) -> Measured:
    """Rank the gallery for every query and return the measures. Raises TrainingError as `compare` does.

    Args:
        device: to compare features on.
        views: degrees (Q,) and (G,), to measure by view difference too.
    """
    compared = compare(query, gallery, config, device, between_cameras, views)
    values = summary(compared.result, compared.chance, len(gallery.records))
    if protocol(config):
        values["protocol"] = protocol(config)
    found = Evaluation(values, compared.result.cmc, compared.pairs, compared.views)
    return Measured(found, query_rows(query, compared.result, compared.matches))


def result_of(task: Task, config: EvaluateConfig, experiment: str, measures: Mapping[str, Any]) -> Result:
    """Return the measures of an evaluation with what made them.

    Args:
        experiment: the name of the run.
        measures: the content of metrics.json.
    """
    made = run_settings.read(task.source)
    tested = run_settings.manifest_digest(task.manifest)
    if made is None:
        return Result(experiment, config.match, measures, None, "", tested)
    stored = made.store
    values = made.values | result_settings.of_evaluation(config, dataset(task.dataset).gallery)
    if config.match != "main":
        with open_store(task.dsap, task.warp) as store:
            values |= result_settings.of_part_images(made.values, store.header.configuration)
            stored += _content(store, task.manifest)
    elif config.regions == "labels":
        with open_store(task.dsap, None) as store:
            stored += _content(store, task.manifest)
    return Result(experiment, config.match, measures, values, made.manifest, tested, made.maps, stored)


def _content(store: DsapStore, manifest: Path) -> str:
    """Return the digest of the part images and labels of query and gallery."""
    rows = [store.index(record.key) for record in read_manifest(manifest, ["query", "gallery"])]
    charts = store.chart_checksums[rows].tolist() if len(store.chart_checksums) else []
    sure = store.confidence_checksums[rows].tolist() if store.has_confidence else []
    return digest_of_texts(map(str, [*store.checksums[rows].tolist(), *charts, *sure]))


def other_than_papers(task: Task) -> str:
    """Return why the paper's rows do not stand beside an evaluation, in words; empty if they do.

    The paper trains on the dataset itself and evaluates on its query and gallery.
    """
    if deviating := deviations(read_manifest(task.manifest), dataset(task.dataset)):
        return f"the images are not those of {task.dataset} ({deviating[0]})"
    made = run_settings.read(task.source)
    if made is None:
        return "it is not known which images the network was trained on"
    return TRAINED_ELSEWHERE if made.manifest != run_settings.manifest_digest(task.manifest) else ""


def metrics_settings(task: Task, result: Result) -> dict[str, str]:
    """Return what metrics.json says of a result's settings and of its dataset, as texts."""
    about = {"dataset": task.dataset, "manifest": result.tested, "paper": other_than_papers(task)}
    return result.summary() | about


def query_and_gallery(task: Task, config: EvaluateConfig) -> tuple[Side, Side, torch.device]:
    """Return query and gallery with their features, and the device to compare them on; errors as for `evaluate`."""
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    records = read_manifest(task.manifest, ["query", "gallery"])
    more = read_multiquery(task.manifest, config)
    network: MainStream | TwoStream
    if config.match == "main":
        _check_finished(task.source)
        path = task.source if task.source.is_file() else task.source / "model.pt"
        model = load(path, device)
        network, preprocessing, store, guidance = model.main_stream, model.preprocessing, None, None
    else:
        path = task.source / "checkpoint.pt"
        network, preprocessing, guidance = restore(task.source)
        check_match(network, config.match)
        network, store = network.to(device), open_store(task.dsap, task.warp)
        if guidance.confidence != "ignore":
            check_confidence(store)
    labels = config.regions == "labels"
    if labels:
        store = open_store(task.dsap, None)
    retrieval = read_retrieval(task.root, records, preprocessing, store, more, labels, guidance)
    visible = config.needs_visibility
    if labels and not any(has_labels(images) for images in (retrieval.query, retrieval.gallery)):
        raise TrainingError(
            f"No image of query and gallery has a map of the body in {task.dsap}. evaluate.regions=labels needs them; "
            "use evaluate.regions=predicted."
        )

    def features(images: Images, what: str) -> Rows:
        if task.keep is None or not config.keep:
            return extract(
                network, images, config.match, config.batch, what=what, flip=config.flip, visible=visible
            ).numpy()
        kind = f"{'-flip' if config.flip else ''}{'-visible' if visible else ''}{'-labels' if labels else ''}"
        saved = task.keep / config.match / f"{what}{kind}.h5"
        return kept_features(saved, network, digest_of(path), images, config, task.dataset)

    with memory_explained(f"batches of {config.batch} images", "Use smaller ones: --set evaluate.batch=8."):
        return *sides(retrieval, config, features, lengths(network, config.match, visible)), device


def calibration_of(task: Task, config: EvaluateConfig, records: Sequence[Record]) -> Calibration | None:
    """Return what the distances of a run mean; None if it is not calibrated for them, see `uncalibrated`.

    Args:
        records: of the gallery.
    """
    if uncalibrated(config, records):
        return None
    model = load(task.source if task.source.is_file() else task.source / "model.pt")
    return model.visible_calibration if config.distance == "visible" else model.calibration


def uncalibrated(config: EvaluateConfig, records: Sequence[Record]) -> str:
    """Return why distances of these settings have no probabilities, whatever the model; empty if they may have.

    A model is calibrated for distances of its own features of single images, Euclidean and visible ones.

    Args:
        records: of the gallery.
    """
    if joins_frames(records, config.tracklets):
        return "a calibration is of single images, and tracklets are compared"
    others = {"match": config.match != "main", "flip": config.flip, "regions": config.regions != "predicted"}
    others |= {"multiquery": config.multiquery != "off", "min_seen": config.min_seen > 0}
    others |= {"unseen": config.unseen > 0}
    others |= {"distance": config.distance == "cosine", "rerank.on": config.rerank.on}
    others |= {"expansion.neighbours": config.expansion.neighbours > 0}
    changed = [name for name, differs in others.items() if differs]
    if not changed:
        return ""
    return f"a calibration is of the model's own distances, and evaluate.{changed[0]} changes them"


def restore(run: Path) -> tuple[TwoStream, Preprocessing, GuidanceConfig]:
    """Return both streams of a finished run, with their preprocessing and the guide's settings, from its checkpoint."""
    if run.is_file():
        raise TrainingError(
            f"{run} has the main stream alone. This match needs the guide too, from the run's folder: "
            f"--run {run.parent}"
        )
    _check_finished(run)
    path = run / "checkpoint.pt"
    state = checkpoint.load(path)
    preprocessing = _check_same_training(run, state["network"])
    made_with = state["configuration"]
    config = build(TrainConfig, made_with["train"], str(path))
    network = TwoStream(config.network, made_with["identities"], config.losses.centre > 0)
    network.load_state_dict(state["network"])
    network.guide_weight.fill_(guide_weight(state["epoch"] - 1, config.guidance))  # of its last epoch
    return network, preprocessing, config.guidance


def summary(result: metrics.Result, chance: float, gallery: int) -> dict[str, Any]:
    """Return the content of metrics.json: fractions, and the numbers of queries and gallery images."""
    return {
        **{f"rank{k}": result.rank(k) for k in RANKS},
        "mAP": result.mAP,
        "mINP": result.mINP,
        "chance_mAP": chance,
        "queries": result.queries,
        "queries_left_out": result.left_out,
        "gallery": gallery,
    }


def write(path: Path, values: Mapping[str, Any], cmc: np.ndarray) -> Path:
    """Write metrics.json to `path` and, for DVC's plots, cmc.json beside it; return `path`."""
    curve = [{"rank": k, "share": float(share)} for k, share in enumerate(cmc, start=1)]
    write_json(path.with_name("cmc.json"), curve)
    return write_json(path, dict(values))


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, whole or not at all; return its path."""
    return write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())


def view_angles(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the view angles of query and gallery, in degrees. Raises DatasetError unless they are rendered."""
    query, gallery = (
        read_views(task.root, [record.key for record in read_manifest(task.manifest, [split])])
        for split in ("query", "gallery")
    )
    return query, gallery


def _check_finished(run: Path) -> None:
    """Raise TrainingError for a run that has a checkpoint but no model, since it is not finished."""
    if (run / "checkpoint.pt").exists() and not (run / "model.pt").exists():
        raise TrainingError(f"The run {run} is not finished. Run the same dsa-train run command again to resume it.")


def _check_same_training(run: Path, weights: Mapping[str, torch.Tensor]) -> Preprocessing:
    """Return the preprocessing of a run's model.

    Raises TrainingError if its checkpoint and model are of two trainings, as after `dvc checkout`.
    """
    read = load(run / "model.pt")
    model = read.main_stream.state_dict()
    if not all(torch.equal(value, weights[f"main.{key}"]) for key, value in model.items() if f"main.{key}" in weights):
        raise TrainingError(
            f"{run}: checkpoint.pt and model.pt are of different trainings, and this match needs both. Run again: "
            "dsa-train run --overwrite, which moves the run of the present settings into place, or trains it."
        )
    return read.preprocessing
