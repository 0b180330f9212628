"""Every row of the paper's tables, the controls and what goes beyond, under one budget and from paired seeds.

A seed draws the same main stream and the same batches in every row (`network.TwoStream`, `feed`), so that rows differ
by what their experiment changes alone. A training that is done leaves a small file of results; killed at any moment,
the same command goes on with what is missing.
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

from densepose_extract.config import ExtractConfig
from densepose_extract.engines.make import make_engine
from densepose_extract.stage import extract
from dsa_app.config import to_dict
from dsa_app.console import progress
from dsa_app.errors import StoreError, TrainingError
from dsa_data.records import read_manifest
from dsa_data.sets import is_synthetic
from dsa_data.stores.dsap import DsapStore
from dsap.config import WarpConfig
from dsap.stage import build

from .. import checkpoint, stage
from ..evaluation.config import EvaluateConfig, Match
from ..evaluation_stage import Task, evaluate, write_json
from .trainings import Place, Training

TOLD = ("epoch", "train/loss", "guide/own", "guide/guided", "guide/cosine")  # of each epoch
MATCHES: tuple[Match, ...] = get_args(Match)


def run_all(todo: Sequence[Training], place: Place, jobs: int = 1, keep: bool = False) -> list[dict[str, Any]]:
    """Train and measure what has no result yet; return all results, in the order of `todo`.

    Args:
        jobs: trainings side by side, each a process of its own.
        keep: keep checkpoints.

    Raises whatever a training raises; what others have finished is kept.
    """
    for training in todo:
        _check(training)
    stores = _stores(todo, place, jobs)
    planned = [
        (training, place, store, _digest(training, place, store)) for training, store in zip(todo, stores, strict=True)
    ]
    missing = [plan for plan in planned if _read(place.result(plan[0]), plan[-1]) is None]
    work: Callable[..., Any] = joblib.delayed(_train)
    with joblib.parallel_config("loky", inner_max_num_threads=1) if jobs != 1 else contextlib.nullcontext():
        done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
            work(*plan, keep) for plan in missing
        )
        for _ in progress(done, len(missing), "ablation", unit="trainings"):
            pass
    found = [_read(place.result(training), digest) for training, _, _, digest in planned]
    for training, result in zip(todo, found, strict=True):
        if result is None:
            raise TrainingError(
                f"{place.result(training)} was replaced while others trained: is another ablation of this dataset "
                "running? Run this one again when that one is done."
            )
    return [result for result in found if result is not None]


def _check(training: Training) -> None:
    """Raise TrainingError for a row that could not begin, hours before its turn."""
    network = training.train.network
    if network.conv5_init == "imagenet" and network.weights == "none":
        raise TrainingError(
            f"{training.name} starts its global head from the trunk's weights, and train.network.weights is none. Name "
            "weights (imagenet, or a model.pt), or leave that row out: --set 'ablation.experiments=[…]'."
        )


def _train(training: Training, place: Place, dsap: Path | None, digest: str, keep: bool) -> None:
    """Train, measure by every match that the network has, and write the result."""
    out, path = place.run(training), place.result(training)
    with _told_in(out.parent / f"{training.seed}.log"):
        stage.run(place.manifest, place.root, dsap or place.made / "dsap.h5", out, training.train, overwrite=True)
        found = _measure(training, place, dsap, out)
    history = checkpoint.load(out / "checkpoint.pt")["history"]
    result = {
        "experiment": training.experiment,
        "rate": training.rate,
        "seed": training.seed,
        "digest": digest,
        "matches": found,
        "history": [{name: value for name, value in row.items() if name in TOLD} for row in history],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    if not keep:
        (out / "checkpoint.pt").unlink()


def _measure(training: Training, place: Place, dsap: Path | None, run: Path) -> dict[str, dict[str, Any]]:
    network, dataset = training.train.network, training.settings.dataset
    evaluation = training.settings.section("evaluate", EvaluateConfig)
    task = Task(place.manifest, place.root, dsap or place.made / "dsap.h5", run)
    found: dict[str, dict[str, Any]] = {}
    for match in MATCHES if network.guide else ("main",):
        if match in ("global", "local") and network.main.heads not in ("both", match):
            continue
        measures = evaluate(task, dataclasses.replace(evaluation, match=match), by_view=is_synthetic(dataset))
        found[match] = {name: measures.metrics[name] for name in ("mAP", "rank1", "mINP", "chance_mAP")}
        found[match]["views"] = {f"{low}-{high}": one.mAP for (low, high), one in measures.views.items()}
    return found


def _stores(todo: Sequence[Training], place: Place, jobs: int) -> list[Path | None]:
    """Return the part pictures of each training, built where they are missing; None for those without a guide."""
    known: dict[str, Path] = {}
    found = []
    for training in todo:
        key = json.dumps([training.rate, to_dict(training.settings.section("warp", WarpConfig))])
        if training.train.network.guide and key not in known:
            known[key] = _store(training, place, jobs)
        found.append(known[key] if training.train.network.guide else None)
    return found


def _store(training: Training, place: Place, jobs: int) -> Path:
    """Return the part pictures of a training's settings: the dataset's own, or a store beside the results."""
    own, warp = place.made / "dsap.h5", training.settings.section("warp", WarpConfig)
    maps = place.made / "iuv.h5"
    if training.rate is not None:
        maps = place.made / "ablation" / "stores" / f"iuv-rate-{training.rate:g}.h5"
        maps.parent.mkdir(parents=True, exist_ok=True)
        wanted = training.settings.section("extract", ExtractConfig)
        engine = make_engine(wanted, training.settings.dataset, place.root, read_manifest(place.manifest))
        extract(place.manifest, place.root, maps, training.settings.dataset, engine, overwrite=True)
    elif not own.exists():
        raise StoreError(f"{own} does not exist. Build it first: dsap build --dataset {training.settings.dataset}.")
    elif DsapStore(own).header.configuration["warp"] == to_dict(warp):
        return own
    name = "-".join(str(value) for value in (maps.stem, *to_dict(warp).values()))
    path = place.made / "ablation" / "stores" / f"{name}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    return build(place.manifest, maps, path, warp, place.root, jobs=jobs, overwrite=True)


def _digest(training: Training, place: Place, dsap: Path | None) -> str:
    """Return the digest of all that decides a result: settings, pictures, part pictures, first weights."""
    train, weights = training.train, Path(training.train.network.weights)
    weights = weights / "checkpoint.pt" if weights.is_dir() else weights  # of a run
    records = read_manifest(place.manifest, ["train"])
    store = DsapStore(dsap) if dsap and train.network.guide else None
    known = {
        **stage.run_configuration(train, records, store),
        "epochs": train.epochs,
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "",
        "evaluate": to_dict(training.settings.section("evaluate", EvaluateConfig)),
        "tested": [record.digest for record in read_manifest(place.manifest, ["query", "gallery"])],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    """Return the result of a training, unless it is missing or of another one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("digest") == digest else None


@contextlib.contextmanager
def _told_in(path: Path) -> Iterator[None]:
    """Write what a training says into a file: several of them side by side would talk at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
        yield
