"""What an estimator could say of how sure it is of a map whose errors are known (`estimator_errors`).

A probability that a pixel is right: of the true chart, and within `TOLERANCE` of the true u and v. It is a product of
five, of which none looks at the true map:

- Near the border of two charts a pixel may belong to the other one. The estimator knows how far its pixels stray, and
  the share of its own label around a pixel is the probability that it is right there.
- A pixel that has strayed has the u and v of its neighbours. On a chart that is few pixels wide these are far off: the
  estimator knows how fast its own u and v change.
- Left and right may be exchanged. The estimator has a clue of it for arms and legs, by `errors.known` as good.
- A chart's u and v may be off as a whole. It has a clue for each chart, as good.
- The person may be taken for one turned around. It has a clue for the map, as good.

A clue is a normal number, whose mean is 0 if all is right and d if it is not, d = sqrt(2) times the normal quantile of
`errors.known` (the equal-variance model of signal detection, Green and Swets 1966). What is stated is the probability
of no error given the clue, so that it is right on average whatever `errors.known` is. What the estimator has lost (a
limb taken for the background, a person not detected) leaves no clue.
"""

from __future__ import annotations

import statistics

import cv2
import numpy as np

from dsa_data.charts import CHARTS

from ..config import EstimatorErrors
from .estimator_errors import ARMS, LEGS, Estimate

TOLERANCE = 24  # steps of a byte, of U and V together: three texels at S = 32
STRAYING = 0.75  # of a pixel's displacement, in units of `errors.outline`: fitted to rendered people at rate 1


def stated_confidence(estimate: Estimate, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return the confidence that the estimator states at each pixel, uint8 (H, W); 0 everywhere without a person.

    Args:
        estimate: the map with its errors.
        generator: of the clues, another one than that of the errors.
    """
    clues = generator.standard_normal(2 + CHARTS + 1 + 1)  # sampled first: the same ones at every rate
    chart = estimate.iuv[..., 0]
    if not chart.any():
        return np.zeros(chart.shape, np.uint8)
    of_chart = np.ones(CHARTS + 1)
    of_chart[1:] = probability_right(estimate.turned, errors.rate * errors.turned, errors.known, clues[-1])
    for limbs, clue in zip((ARMS, LEGS), clues[:2], strict=True):
        charts = np.ravel(limbs)
        wrong = bool(estimate.swapped[charts].any())
        of_chart[charts] *= probability_right(wrong, errors.rate * errors.swapped, errors.known, clue)
    off = _off(estimate)
    rate_off = share_beyond(errors.rate * errors.offset)
    strays = STRAYING * errors.rate * errors.outline * len(chart)  # pixels, along each axis
    # U and V of a pixel that strays are those of a neighbour; noise comes on top.
    deviations = np.hypot(strays * _slopes(estimate.iuv, errors.rate * errors.noise), errors.rate * errors.noise)
    for number in np.unique(chart[chart > 0]).tolist():
        of_chart[number] *= probability_right(bool(off[number]), rate_off, errors.known, clues[2 + number])
        of_chart[number] *= 1 - share_beyond(deviations[number])
    probability = of_chart[chart] * _share_around(chart, strays)
    return np.asarray(np.rint(255 * probability), np.uint8)


def probability_right(wrong: bool, rate: float, known: float, clue: float) -> float:
    """Return the probability of no error that an estimator states, given its clue.

    Args:
        wrong: whether there is an error.
        rate: of such errors.
        known: see `EstimatorErrors`.
        clue: a standard normal number.
    """
    rate = min(rate, 1.0)
    if rate in (0, 1):
        return 1 - rate
    distance = 2**0.5 * statistics.NormalDist().inv_cdf(known)
    seen = clue + distance * wrong
    # Bayes: the densities of `seen` with and without an error have the ratio exp(d seen - d^2 / 2).
    odds = rate / (1 - rate) * float(np.exp(distance * seen - distance**2 / 2))
    return 1 / (1 + odds)


def share_beyond(deviation: float) -> float:
    """Return the share of pixels whose U and V are off by more than `TOLERANCE`.

    Args:
        deviation: the standard deviation of the normal numbers that U and V are off by, so that their distance has
            Rayleigh's distribution.
    """
    return float(np.exp(-(TOLERANCE**2) / (2 * deviation**2))) if deviation else 0.0


def _slopes(iuv: np.ndarray, noise: float) -> np.ndarray:
    """Return how much U and V change from a pixel to the next on each chart, root mean square, float64 (25,).

    Args:
        iuv: uint8 (H, W, 3), the estimator's map.
        noise: standard deviation of each value, whose part in the differences is left out.
    """
    square = np.zeros(CHARTS + 1)
    for near, far in ((iuv[1:], iuv[:-1]), (iuv[:, 1:], iuv[:, :-1])):
        inside = near[..., 0] == far[..., 0]
        change = near[inside][:, 1:].astype(np.float64) - far[inside][:, 1:]  # (n, 2)
        total = np.bincount(near[inside][:, 0], (change**2).sum(axis=1), CHARTS + 1)
        pairs = np.bincount(near[inside][:, 0], minlength=CHARTS + 1)
        square += total / np.maximum(pairs, 1) / 2  # of U and V each, in the mean
    return np.asarray(np.sqrt(np.maximum(square - 2 * noise**2, 0)))


def _off(estimate: Estimate) -> np.ndarray:
    """Return whether U and V of a chart are off by more than `TOLERANCE` in the mean over its pixels: bool (25,)."""
    chart = estimate.iuv[..., 0].ravel()
    square = (estimate.offset.astype(np.float64) ** 2).sum(axis=2).ravel()
    total, count = np.bincount(chart, square, CHARTS + 1), np.bincount(chart, minlength=CHARTS + 1)
    return np.asarray(total > TOLERANCE**2 * count)


def _share_around(chart: np.ndarray, deviation: float) -> np.ndarray:
    """Return the share of pixels with the same label around each one, float64 (H, W), weighted by a normal curve.

    Args:
        chart: uint8 (H, W).
        deviation: of the curve, in pixels.
    """
    share = np.ones(chart.shape)
    if deviation <= 0:
        return share
    for number in np.unique(chart):
        inside = chart == number
        around = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
        share[inside] = around[inside]
    return np.clip(share, 0, 1)
