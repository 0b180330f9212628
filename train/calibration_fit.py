"""Calibration of a trained network on people who were held out from its training: what its distances mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_reid.calibration import Calibration
from dsa_reid.main_stream import MainStream
from dsa_reid.preprocessing import Preprocessing

from .batches.dataset import Images
from .batches.feed import generator
from .evaluation.calibrate import check_separates, fit_logistic
from .evaluation.config import EvaluateConfig
from .evaluation.features import extract, lengths
from .evaluation.retrieval import Side, camera_numbers
from .evaluation.same_or_not import Searches, same_or_not, searches

UNSEPARATED = (
    "note: distances by what both images show do not separate the people held out for calibration, so they have no "
    "probabilities. Those of whole features have."
)
FEWEST = 3  # people, below which nothing can be fitted


def hold_out(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Return the records to train on, and those of the people held out for calibration, a sampled share of all people.

    Raises TrainingError if too few people would be held out, or none of them is seen by two cameras.
    """
    if not share:
        return list(records), []
    people = sorted({record.pid for record in records})
    count = round(share * len(people))
    order = torch.randperm(len(people), generator=generator(seed, "held out for calibration"))
    chosen = {people[n] for n in order[:count].tolist()}
    held = [record for record in records if record.pid in chosen]
    cameras: dict[int, set[int]] = {}
    for record in held:
        cameras.setdefault(record.pid, set()).add(record.camid)
    if count < FEWEST or not any(len(own) > 1 for own in cameras.values()):
        raise TrainingError(
            f"train.calibrate={share} holds out {count} of {len(people)} people, and at least {FEWEST} are needed, one "
            "of them seen by two cameras. Hold out more of them, or train without calibration: train.calibrate=0."
        )
    return [record for record in records if record.pid not in chosen], held


class Calibrations(NamedTuple):
    """What the distances of a network mean.

    Attributes:
        whole: Euclidean distances of whole features; None if nobody was held out.
        visible: visible distances; None for a network that does not predict regions too, or if they do not separate
            people.
        note: what the user should know of it, a line; empty for nothing.
    """

    whole: Calibration | None
    visible: Calibration | None = None
    note: str = ""


def calibrate(
    main_stream: MainStream, root: Path, held: Sequence[Record], preprocessing: Preprocessing, config: EvaluateConfig
) -> Calibrations:
    """Return what the distances of a network mean, from images of people that it was not trained on.

    Args:
        held: images of these people; none for no calibration.

    Raises TrainingError if their distances do not separate them, ImageError for an image that cannot be read.
    """
    if not held:
        return Calibrations(None)
    plain = EvaluateConfig(batch=config.batch, memory=config.memory)
    sees = main_stream.config.predicts_regions and "local" in main_stream.parts
    images = Images(root, held, preprocessing)
    features = extract(main_stream, images, "main", config.batch, what="Calibration", visible=sees).numpy()
    side = Side(features[:, : sum(main_stream.parts.values())], held, camera_numbers(held, plain))
    device = next(main_stream.parameters()).device
    whole = _fitted(side, plain, device)
    if not sees:
        return Calibrations(whole)
    parts = lengths(main_stream, "main", visible=True)
    seen = dataclasses.replace(side, features=features, parts=parts)
    try:
        return Calibrations(whole, _fitted(seen, dataclasses.replace(plain, distance="visible"), device))
    except TrainingError:  # the model is of use without
        return Calibrations(whole, None, UNSEPARATED)


def _fitted(side: Side, config: EvaluateConfig, device: torch.device) -> Calibration:
    """Return what the distances between images mean. Raises TrainingError if they do not separate people."""
    counted = same_or_not(side, side, config, device)
    curve = counted.pairs.curve
    check_separates(curve, -1.0)
    offset, slope = fit_logistic(curve.middles, curve.same.astype(float), curve.different.astype(float))
    check_separates(curve, slope)
    rows = tuple((one.rate, one.distance, one.low, one.high) for one in counted.thresholds)
    people = {one.pid for one in side.records}
    first = Calibration(offset, -slope, 0.0, 1.0, len(people), len(side.records), rows)
    there, absent = _evidence(searches(side, side, config, device, first))
    x = np.concatenate([there, absent])
    right = np.concatenate([np.ones(len(there)), np.zeros(len(absent))])
    present_offset, present_slope = fit_logistic(x, right, 1 - right)
    if present_slope <= 0:  # the searches with and without the person look alike: they say nothing
        present_offset, present_slope = 0.0, 0.0
    return dataclasses.replace(first, present_offset=present_offset, present_slope=present_slope)


def _evidence(found: Searches) -> tuple[np.ndarray, np.ndarray]:
    """Return the evidence of searches with the query's person in the gallery, and without."""
    rows = np.array(found.rows)
    return rows[np.isfinite(rows[:, 1]), 3], rows[:, 4]
