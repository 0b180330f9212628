"""Calibration as a stage: from a finished model and images of people it has not seen to the same model, calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch

from dsa_app.errors import TrainingError
from dsa_app.interrupt import deferred
from dsa_app.lock import locked
from dsa_data.records import Record, read_manifest
from dsa_data.sets.layout import DISTRACTOR
from dsa_reid.atomic import write_atomic
from dsa_reid.model import digest_of, load, save
from dsa_reid.weights_file import read_weights

from . import checkpoint, run_settings
from .calibration_fit import FEWEST, Calibrations, calibrate, hold_out
from .evaluation.calibrate import UnseparatedError
from .evaluation.config import EvaluateConfig
from .torch_setup import memory_explained

TESTS = ("query", "gallery")
UNKNOWN = (
    "note: it is not known which images {} was trained on. Its probabilities are right only if it has not seen these "
    "people."
)
MEASURED = "note: {} of {} are used. Measure these probabilities on other people: on the same they look too good."


class People(NamedTuple):
    """Who a model is calibrated on.

    Attributes:
        held: images of people that it has not seen.
        others: images of further people, among whom these are searched for.
        note: what the user should know of the choice, a line; empty for nothing.
    """

    held: list[Record]
    others: list[Record]
    note: str


class Calibrated(NamedTuple):
    """A written model, with what its distances mean."""

    path: Path
    calibrations: Calibrations
    images: int


def choose_people(run: Path, manifest: Path, runs: Path, dataset: str, splits: Sequence[str]) -> People:
    """Return the people of a dataset that a model is calibrated on.

    Of the dataset that it was trained on, these are the ones that the training held out.

    Args:
        run: a run's folder, or its model.pt.
        runs: the folder of the dataset's own runs.
        splits: of the dataset.

    Raises TrainingError if the network has seen these people, or query and gallery of its own dataset are asked for, or
    they are too few. DatasetError as `read_manifest`.
    """
    records = read_manifest(manifest, splits)
    made = run_settings.read(run)
    same = made is not None and made.manifest == run_settings.manifest_digest(manifest)
    if not (same or run.resolve().is_relative_to(runs.resolve())):
        note = UNKNOWN.format(run) if made is None else ""
        if used := [split for split in splits if split in TESTS]:
            note = note or MEASURED.format(" and ".join(used), dataset)
        return _checked(People([one for one in records if one.pid > DISTRACTOR], _no_person(records), note), dataset)
    if any(split in TESTS for split in splits):
        raise TrainingError(
            f"Query and gallery of {dataset} measure {run}, so that it must not be calibrated on them. Name another "
            "dataset, or --split train if training held people out (train.calibrate)."
        )
    if not same or not (made and made.values.get("train.calibrate")):
        raise TrainingError(
            f"{run} was trained on these people of {dataset}, and distances between them look too good. Name a dataset "
            "that it has not seen, or hold people out: dsa-train run --set train.calibrate=0.2."
        )
    share, seed = _held_out(run)
    kept, held = hold_out(records, share, seed)
    return _checked(People(held, kept, ""), dataset)


def calibrate_model(
    run: Path, people: People, root: Path, out: Path, config: EvaluateConfig, device: torch.device
) -> Calibrated:
    """Write a model with what its distances mean, whole or not at all; its weights stay.

    Args:
        run: a run's folder, or its model.pt.
        root: the dataset's folder.
        out: the file; the run's own model is replaced, and its settings.json with it.
        config: batch, and memory of distances.

    Raises TrainingError if distances do not separate these people, ModelError for a file that is no model, ImageError,
    BusyError if another process writes there.
    """
    path = model_of(run)
    replaced = out.resolve() == path.resolve()
    busy = f"Another process is training in {path.parent} now. Wait until it has finished, or name another --out."
    with locked(path.parent, busy) if replaced else nullcontext():
        model, content = load(path, device), read_weights(path)
        batches = memory_explained(f"batches of {config.batch} images", "Use smaller ones: --batch 8.")
        try:
            with batches:
                found = calibrate(model.main_stream, root, people.held, model.preprocessing, config, people.others)
        except UnseparatedError:
            raise TrainingError(
                f"Distances of {path} do not separate these people: images of one are no nearer than those of two. "
                "Name images like those that it was trained on, or train longer."
            ) from None
        with deferred():  # the model and what made it change together
            made = replaced and run_settings.read(path) is not None
            save(model.main_stream, out, model.preprocessing, content.get("pretrained"), found.whole, found.visible)
            if made:
                _rename_model(out)
    return Calibrated(out, found, len(people.held) + len(people.others))


def model_of(run: Path) -> Path:
    """Return the model file of a run. Raises TrainingError if there is none."""
    path = run / "model.pt" if run.is_dir() else run
    if not path.is_file():
        raise TrainingError(f"{path} does not exist. Name the folder of a finished run, or its model.pt.")
    return path


def _no_person(records: Sequence[Record]) -> list[Record]:
    return [one for one in records if one.pid == DISTRACTOR]


def _checked(people: People, dataset: str) -> People:
    """Return people to calibrate on. Raises TrainingError if they are too few, or none is seen by two cameras."""
    cameras: dict[int, set[int]] = {}
    for record in people.held:
        cameras.setdefault(record.pid, set()).add(record.camid)
    if len(cameras) < FEWEST or not any(len(own) > 1 for own in cameras.values()):
        raise TrainingError(
            f"{len(cameras)} people of {dataset} are too few to calibrate on: at least {FEWEST} are needed, one of "
            "them seen by two cameras; 40 are better. Name another dataset, or more splits: --split."
        )
    return people


def _held_out(run: Path) -> tuple[float, int]:
    """Return which share of the people a run held out, and by which seed. Raises TrainingError without checkpoint."""
    path = (run if run.is_dir() else run.parent) / "checkpoint.pt"
    if not path.exists():
        raise TrainingError(f"{path} does not exist, and says who was held out. Name the run's whole folder.")
    train = checkpoint.load(path)["configuration"]["train"]
    return float(train.get("calibrate", 0)), int(train["seed"])


def _rename_model(model: Path) -> None:
    """Write into a run's settings.json which file its model is now: the weights are the same."""
    path = model.with_name(run_settings.FILE)
    content = {**json.loads(path.read_text(encoding="utf-8")), "model": digest_of(model)}
    write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
