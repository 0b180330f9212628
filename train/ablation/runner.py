"""An ablation: every row of the paper's tables, the controls and what goes beyond, with one budget and paired seeds.

A seed gives the same initial main stream and the same batches in every row (`network.two_stream`, `batches.feed`), so
that rows differ only by what their experiment changes. A finished training leaves a small file of results; the same
command resumes an interrupted ablation with those that are missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import joblib

from dsa_app.config import to_dict
from dsa_app.console import progress
from dsa_app.errors import TrainingError
from dsa_app.parallel import dispatch, tied
from dsa_data.records import read_manifest
from dsa_data.sets import is_synthetic
from dsa_data.stores.dsap import DsapStore

from .. import checkpoint, stage
from ..evaluation.config import EvaluateConfig, Match
from ..evaluation_stage import Task, evaluate, write_json
from .stores import build_stores
from .tables import VISIBLE
from .trainings import Folders, Training

LOGGED = ("epoch", "train/loss", "guide/", "regions/")  # beginnings of the names of what is kept of each epoch
MATCHES: tuple[Match, ...] = get_args(Match)


def run_all(todo: Sequence[Training], folders: Folders, jobs: int = 1, keep: bool = False) -> list[dict[str, Any]]:
    """Train and evaluate what has no result yet; return all results, in the order of `todo`.

    Args:
        jobs: trainings in parallel, each in its own process.
        keep: keep checkpoints.

    Raises what a training raises; the results of finished trainings are kept.
    """
    for training in todo:
        _check(training)
    stores = build_stores(todo, folders, jobs)
    planned = [
        (training, folders, store, _digest(training, folders, store))
        for training, store in zip(todo, stores, strict=True)
    ]
    missing = [plan for plan in planned if _read(folders.result(plan[0]), plan[-1]) is None]
    work: Callable[..., Any] = joblib.delayed(_train)
    with joblib.parallel_config("loky", inner_max_num_threads=1, **tied()) if jobs != 1 else contextlib.nullcontext():
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        done = dispatch(parallel, (work(*plan, keep) for plan in missing))
        for _ in progress(done, len(missing), "ablation", unit="trainings"):
            pass
    results = [_read(folders.result(training), digest) for training, _, _, digest in planned]
    for training, result in zip(todo, results, strict=True):
        if result is None:
            raise TrainingError(
                f"{folders.result(training)} was replaced during the ablation: is another ablation of this dataset "
                "running? Run the same command again when that one has finished."
            )
    return [
        {**result, "changes": training.changes}
        for training, result in zip(todo, results, strict=True)
        if result is not None
    ]


def _check(training: Training) -> None:
    """Raise TrainingError for a training that cannot start, hours before its turn."""
    network = training.train.network
    if network.conv5_init == "imagenet" and network.weights == "none":
        raise TrainingError(
            f"{training.name} initialises its global head with the trunk's pretrained weights, and "
            "train.network.weights is none. Set weights (imagenet, or a model.pt), or leave this row out: --set "
            "'ablation.experiments=[…]'."
        )


def _train(training: Training, folders: Folders, dsap: Path | None, digest: str, keep: bool) -> None:
    """Train, evaluate by every match that the network has, and by visible regions, and write the result."""
    out, path = folders.run(training), folders.result(training)
    with _output_to(out.parent / f"{training.seed}.log"):
        dsap = dsap or folders.artifacts / "dsap.h5"
        stage.run(
            folders.manifest, folders.root, dsap, out, training.train, overwrite=True, experiment=training.experiment
        )
        matches = _measure(training, folders, dsap, out)
    history = checkpoint.load(out / "checkpoint.pt")["history"]
    result = {
        "experiment": training.experiment,
        "rate": training.rate,
        "seed": training.seed,
        "digest": digest,
        "matches": matches,
        "history": [{name: value for name, value in row.items() if name.startswith(LOGGED)} for row in history],
    }
    write_json(path, result)
    if not keep:
        (out / "checkpoint.pt").unlink(missing_ok=True)


def _measure(training: Training, folders: Folders, dsap: Path, run: Path) -> dict[str, dict[str, Any]]:
    network, dataset = training.train.network, training.settings.dataset
    evaluation = training.evaluation
    task = Task(folders.manifest, folders.root, dsap, run)
    by_match: dict[str, dict[str, Any]] = {}
    for match in MATCHES if network.guide else ("main",):
        if match in ("global", "local") and network.main.heads not in ("both", match):
            continue
        by_match[match] = _measured(task, dataclasses.replace(evaluation, match=match), dataset)
    if network.main.predicts_regions and evaluation.compares_plainly:
        by_match[VISIBLE] = _measured(task, dataclasses.replace(evaluation, match="main", distance=VISIBLE), dataset)
    return by_match


def _measured(task: Task, evaluation: EvaluateConfig, dataset: str) -> dict[str, Any]:
    measures = evaluate(task, evaluation, by_view=is_synthetic(dataset))
    by_name: dict[str, Any] = {name: measures.metrics[name] for name in ("mAP", "rank1", "mINP", "chance_mAP")}
    by_name["views"] = {f"{low}-{high}": one.mAP for (low, high), one in measures.views.items()}
    return by_name


def _digest(training: Training, folders: Folders, dsap: Path | None) -> str:
    """Return the digest of everything that a result depends on: settings, images, part images, pretrained weights."""
    train, weights = training.train, Path(training.train.network.weights)
    weights = weights / "checkpoint.pt" if weights.is_dir() else weights  # of a run
    records = read_manifest(folders.manifest, ["train"])
    store = DsapStore(dsap) if dsap and train.needs_store else None
    evaluation = to_dict(training.evaluation)
    if evaluation["regions"] == "predicted":  # results of before there was this setting were measured so
        del evaluation["regions"]
    known = {
        **stage.run_configuration(train, records, store),
        "epochs": train.epochs,
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "",
        "evaluate": evaluation,
        "tested": [record.digest for record in read_manifest(folders.manifest, ["query", "gallery"])],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    """Return the result of a training; None if it is missing, or its digest is another."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("digest") == digest else None


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Redirect the output to a file: that of several trainings in parallel would be mixed up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
        yield
