"""Calibration of a trained network on people who were held out from its training: what its distances mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_reid.calibration import Calibration
from dsa_reid.main_stream import MainStream
from dsa_reid.preprocessing import Preprocessing

from .batches.dataset import Images
from .batches.feed import generator
from .evaluation.calibrate import UnseparatedError, check_separates, fit_logistic
from .evaluation.config import EvaluateConfig
from .evaluation.features import extract, lengths
from .evaluation.presence_fit import fit_presence
from .evaluation.retrieval import Side, camera_numbers
from .evaluation.same_or_not import same_or_not

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
    main_stream: MainStream,
    root: Path,
    held: Sequence[Record],
    preprocessing: Preprocessing,
    config: EvaluateConfig,
    others: Sequence[Record] = (),
) -> Calibrations:
    """Return what the distances of a network mean, from images of people that it was not trained on.

    Args:
        held: images of these people; none for no calibration.
        others: images of other people, those of the training too, among whom the held-out people are searched for.

    Raises UnseparatedError if their distances do not separate them, ImageError for an image that cannot be read.
    """
    if not held:
        return Calibrations(None)
    plain = EvaluateConfig(batch=config.batch, memory=config.memory)
    sees = main_stream.config.predicts_regions and "local" in main_stream.parts
    everyone = [*held, *others]
    images = Images(root, everyone, preprocessing)
    features = extract(main_stream, images, "main", config.batch, what="Calibration", visible=sees).numpy()
    side = Side(features[:, : sum(main_stream.parts.values())], everyone, camera_numbers(everyone, plain))
    device = next(main_stream.parameters()).device
    whole = _fitted(side, len(held), plain, device)
    if not sees:
        return Calibrations(whole)
    parts = lengths(main_stream, "main", visible=True)
    seen = dataclasses.replace(side, features=features, parts=parts)
    try:
        return Calibrations(whole, _fitted(seen, len(held), dataclasses.replace(plain, distance="visible"), device))
    except UnseparatedError:  # the model is of use without
        return Calibrations(whole, None, UNSEPARATED)


def _fitted(everyone: Side, count: int, config: EvaluateConfig, device: torch.device) -> Calibration:
    """Return what the distances between images mean. Raises UnseparatedError if they do not separate people.

    Args:
        everyone: images of held-out people, the first `count`, and of others.
    """
    held = dataclasses.replace(
        everyone,
        features=everyone.features[0:count],
        records=everyone.records[:count],
        camids=everyone.camids[:count],
    )
    counted = same_or_not(held, held, config, device)
    curve = counted.pairs.curve
    check_separates(curve, -1.0)
    offset, slope = fit_logistic(curve.middles, curve.same.astype(float), curve.different.astype(float))
    check_separates(curve, slope)
    rows = tuple((one.rate, one.distance, one.low, one.high) for one in counted.thresholds)
    people = {one.pid for one in held.records}
    of_pairs = Calibration(offset, -slope, 0.0, 0.0, len(people), count, rows)
    return dataclasses.replace(of_pairs, present=fit_presence(held, everyone, config, device, of_pairs))
