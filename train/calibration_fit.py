"""Calibration of a trained network on people who were held out from its training: what its distances mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

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
from .evaluation.features import extract
from .evaluation.retrieval import Side, camera_numbers
from .evaluation.same_or_not import Searches, same_or_not, searches

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


def calibrate(
    main_stream: MainStream, root: Path, held: Sequence[Record], preprocessing: Preprocessing, config: EvaluateConfig
) -> Calibration:
    """Return what the distances of a network mean, from images of people that it was not trained on.

    Raises TrainingError if their distances do not separate them, ImageError for an image that cannot be read.
    """
    plain = EvaluateConfig(batch=config.batch, memory=config.memory)
    features = extract(main_stream, Images(root, held, preprocessing), "main", config.batch, what="Calibration").numpy()
    side = Side(features, held, camera_numbers(held, plain))
    device = next(main_stream.parameters()).device
    counted = same_or_not(side, side, plain, device)
    curve = counted.pairs.curve
    check_separates(curve, -1.0)
    offset, slope = fit_logistic(curve.middles, curve.same.astype(float), curve.different.astype(float))
    check_separates(curve, slope)
    rows = tuple((one.rate, one.distance, one.low, one.high) for one in counted.thresholds)
    first = Calibration(offset, -slope, 0.0, 1.0, len({one.pid for one in held}), len(held), rows)
    there, absent = _evidence(searches(side, side, plain, device, first))
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
