"""The rows of a comparison, measured once and kept: a model on a dataset, and a model's speed on a machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dsa_app.errors import TrainingError
from dsa_data.sets import dataset, dataset_root
from dsa_reid.model import digest_of, load
from dsap.config import WarpConfig

from .. import run_settings
from ..evaluation.config import EvaluateConfig, protocol
from ..evaluation.retrieval import compare
from ..evaluation_stage import Task, evaluate, summary, write_json
from ..network.summary import deployed_size
from ..result_settings import of_evaluation
from ..torch_setup import choose_device
from .entries import Entry
from .features import Files, read_sides
from .speed import images_per_second, machine

FORMAT, VERSION = "dsa-reid comparison", 1
Values = dict[str, Any]


class Place(NamedTuple):
    """A dataset of a comparison: its name, the folder of its outputs, its manifest, and how it is evaluated."""

    dataset: str
    artifacts: Path
    manifest: Path
    config: EvaluateConfig


@dataclasses.dataclass(frozen=True)
class Row:
    """A model on a dataset.

    Attributes:
        model, dataset: their names.
        guide: whether it was trained with the guide; None if that is not known.
        rank1, mAP: fractions; None for a run that is not finished.
        parameters, flops: of what is deployed, the latter of one image; None for a file of features.
        images_per_second: through the network; None for a file of features.
        machine: that this was measured on.
        protocol: what differs from single query over the whole gallery, in words.
        digest: of all that decides rank1 and mAP.
    """

    model: str
    dataset: str
    guide: bool | None = None
    rank1: float | None = None
    mAP: float | None = None  # noqa: N815 - the field's name
    parameters: int | None = None
    flops: int | None = None
    images_per_second: float | None = None
    machine: str = ""
    protocol: str = ""
    digest: str = ""


def rows(entries: Sequence[Entry], places: Sequence[Place], seconds: float) -> Iterator[Row]:
    """Yield the row of each model on each dataset that it has features of, measured or as it was kept.

    Args:
        seconds: that the speed of a model is timed for.
    """
    for place in places:
        for entry in entries:
            row = _of_features(entry, place) if entry.is_features else _of_run(entry, place, seconds)
            if row is not None:
                yield row


def _of_features(entry: Entry, place: Place) -> Row | None:
    """Return the row of a file of features; None if it states that it is of another dataset."""
    path, gallery = (*entry.paths, None)[:2]
    assert path is not None
    files = Files(path, gallery, entry.labels)
    sides = read_sides(files, place.dataset, place.manifest, place.config)
    if sides is None:
        return None

    def measure() -> Values:
        try:
            found = compare(sides.query, sides.gallery, sides.config, choose_device(sides.config.device))
        except TrainingError as error:  # which knows no file
            raise TrainingError(f"{entry.source}: {error}") from None
        return summary(found.result, found.chance, len(sides.gallery.records))

    digest, measures = _measures(place._replace(config=sides.config), sides.digest, sides.tested, measure)
    return Row(
        entry.title,
        place.dataset,
        rank1=measures["rank1"],
        mAP=measures["mAP"],
        protocol=protocol(sides.config),
        digest=digest,
    )


def _of_run(entry: Entry, place: Place, seconds: float) -> Row:
    run = entry.run(place.artifacts)
    path = run if run.is_file() else run / "model.pt"
    if not path.is_file():
        return Row(entry.title, place.dataset)
    name = entry.source if entry.is_experiment else run.stem
    keep = place.artifacts / "features" / name  # where dsa-train evaluate keeps them too
    task = Task(
        place.manifest,
        dataset_root(place.dataset),
        place.artifacts / "dsap.h5",
        run,
        WarpConfig(),
        keep,
        place.dataset,
    )
    tested = run_settings.manifest_digest(place.manifest)
    digest, measures = _measures(place, digest_of(path), tested, lambda: evaluate(task, place.config).metrics)
    made = run_settings.read(run)
    speed = _speed(path, place, seconds)
    return Row(
        entry.title,
        place.dataset,
        None if made is None else bool(made.values.get("train.network.guide", True)),
        measures["rank1"],
        measures["mAP"],
        speed["parameters"],
        speed["flops"],
        speed["images_per_second"],
        speed["machine"],
        protocol(place.config),
        digest,
    )


def _measures(place: Place, features: str, tested: str, measure: Callable[[], Values]) -> tuple[str, Values]:
    """Return the digest and the measures of a model on a dataset, kept beside the dataset's other outputs.

    Args:
        features: digest of the model or of the features.
        tested: digest of the manifest; empty for features that have their own identities.
    """
    settings = of_evaluation(place.config, dataset(place.dataset).gallery)
    made_of = {"features": features, "tested": tested, "settings": settings}
    return _kept(place.artifacts / "compare", made_of, measure)


def _speed(path: Path, place: Place, seconds: float) -> Values:
    """Return the size of a model and its speed on this machine, kept beside the outputs of all datasets."""
    device = choose_device(place.config.device)
    if place.config.threads:
        torch.set_num_threads(place.config.threads)
    batch, where = place.config.batch, machine(device)

    def measure() -> Values:
        model = load(path, device)
        size = deployed_size(model.main_stream.config, model.preprocessing.height, model.preprocessing.width)
        fast = images_per_second(model, batch, seconds)
        return {"parameters": size.parameters, "flops": size.flops, "images_per_second": fast, "machine": where}

    made_of = {"model": digest_of(path), "machine": where, "batch": batch, "torch": torch.__version__}
    return _kept(place.artifacts.parent / "compare", made_of, measure)[1]


def _kept(folder: Path, made_of: Mapping[str, Any], measure: Callable[[], Values]) -> tuple[str, Values]:
    """Return the digest of what decides values, and the values: those that are kept, or measured and kept now."""
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{digest}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if (kept["format"], kept["version"], kept["made_of"]) == (FORMAT, VERSION, made_of):
            return digest, dict(kept["values"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not kept, or damaged: it is measured again
    values = measure()
    write_json(path, {"format": FORMAT, "version": VERSION, "made_of": made_of, "values": values})
    return digest, values
