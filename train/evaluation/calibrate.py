"""Fitting probabilities to distances, and how right they are: reliability diagram, expected calibration error.

Platt's logistic map (1999) with his smoothed targets; pairs of the same and of different people weigh alike. It was
chosen over isotonic regression by measurement, see docs/design/answers.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import TrainingError
from dsa_reid.calibration import Calibration

from .pair_counts import Curve

BINS = 10  # of a reliability diagram, equally wide
STEPS = 100  # of Newton's method, at most
DRAWS = 50  # of samples that the floor of the expected calibration error averages
Floats = NDArray[np.float64]


class UnseparatedError(TrainingError):
    """Images of one person are no nearer to each other than those of two, so that distances say nothing."""


class Reliability(NamedTuple):
    """How right probabilities are.

    Attributes:
        stated: (BINS,), the mean probability in each bin; NaN where it is empty.
        true: (BINS,), the share that it is true of.
        weight: (BINS,), of the bin, summing to 1.
        ece: expected calibration error, the mean of |stated - true| over what was measured.
        floor: what a perfectly calibrated map would show on a sample of this size; NaN where it is not known.
    """

    stated: Floats
    true: Floats
    weight: Floats
    ece: float
    floor: float = float("nan")

    def measures(self) -> dict[str, Any]:
        """Return them as plain values."""
        bins = [
            {"stated": float(stated), "true": float(true), "weight": float(weight)}
            for stated, true, weight in zip(self.stated, self.true, self.weight, strict=True)
            if weight > 0
        ]
        floor = None if np.isnan(self.floor) else self.floor
        return {"ece": self.ece, "floor": floor, "bins": bins}


def reliability(chances: Floats, right: Floats, wrong: Floats) -> Reliability:
    """Return how right probabilities are.

    Args:
        chances: (N,), stated.
        right, wrong: (N,), the weight of the cases of each that are true and that are not.
    """
    at = np.minimum((chances * BINS).astype(int), BINS - 1)
    weight = np.bincount(at, right + wrong, BINS)
    stated, true = np.bincount(at, chances * (right + wrong), BINS), np.bincount(at, right, BINS)
    ece = float(np.abs(stated - true).sum() / weight.sum())
    with np.errstate(invalid="ignore"):
        return Reliability(stated / weight, true / weight, weight / weight.sum(), ece)


def pair_reliability(curve: Curve, calibration: Calibration, seed: int = 0) -> Reliability:
    """Return how right P(same person) is over pairs, those of the same and of different people weighing alike."""
    chances = np.asarray(calibration.probability(curve.middles))
    same, different = int(curve.same.sum()), int(curve.different.sum())
    right, wrong = curve.same / (2 * same), curve.different / (2 * different)
    # The floor: as many pairs, drawn from the same distances with exactly the stated probabilities.
    generator = np.random.default_rng(seed)
    weight = right + wrong
    of_same, of_different = (weight * one / (weight * one).sum() for one in (chances, 1 - chances))
    floors = [
        reliability(
            chances,
            generator.multinomial(same, of_same) / (2 * same),
            generator.multinomial(different, of_different) / (2 * different),
        ).ece
        for _ in range(DRAWS)
    ]
    return reliability(chances, right, wrong)._replace(floor=float(np.mean(floors)))


def fit_logistic(x: Floats, right: Floats, wrong: Floats) -> tuple[float, float]:
    """Return the intercept and the slope of P(right) = 1 / (1 + exp(-intercept - slope · x)), by Newton's method.

    Args:
        x: (N,).
        right, wrong: (N,), how often each was so. Both kinds weigh alike, with the targets of Platt (1999).
    """
    R, W = right.sum(), wrong.sum()
    target = np.array([(R + 1) / (R + 2), 1 / (W + 2)])  # of a right and of a wrong case
    weights = right / (2 * R) + wrong / (2 * W)
    aims = (right / (2 * R) * target[0] + wrong / (2 * W) * target[1]) / np.maximum(weights, 1e-300)
    centre, spread = np.average(x, weights=weights), 0.0
    spread = float(np.sqrt(np.average((x - centre) ** 2, weights=weights))) or 1.0
    design = np.stack([np.ones_like(x), (x - centre) / spread], axis=1)  # (N, 2)
    beta = np.zeros(2)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weights * (aims - chance))
        hessian = (design * (weights * chance * (1 - chance))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta += step * min(1.0, 5 / max(np.abs(step).max(), 1e-300))  # so far from the optimum it may overshoot
        if np.abs(step).max() < 1e-10:
            break
    slope = beta[1] / spread
    return float(beta[0] - slope * centre), float(slope)


def check_separates(curve: Curve, slope: float) -> None:
    """Raise TrainingError unless pairs of the same person are nearer on average than pairs of different people."""
    if not curve.same.sum() or not curve.different.sum():
        raise TrainingError(
            "The people held out for calibration have no pair of images from two cameras. Hold out more of them: "
            "train.calibrate=0.2; or train without: train.calibrate=0."
        )
    if slope >= 0:
        raise UnseparatedError(
            "Distances do not separate the people held out for calibration: images of one person are no nearer than "
            "those of two. Train longer, or without calibration: train.calibrate=0."
        )
