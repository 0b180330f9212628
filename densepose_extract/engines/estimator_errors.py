"""The errors that DensePose makes on small crops, applied to true maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dsa_data.charts import PARTNER
from dsa_data.turning import turned

from ..config import EstimatorErrors

ARMS = ((4, 15, 17, 19, 21), (3, 16, 18, 20, 22))  # charts of the left one, of the right one, hands included
LEGS = ((5, 8, 10, 12, 14), (6, 7, 9, 11, 13))
HEAD = (23, 24)
TURNING = np.arange(7, 23)  # charts of limbs, where V runs across the limb: it is reversed when sides are swapped
CELLS = 12  # rows of the coarse random field that displaces outlines


@dataclass(frozen=True)
class Estimate:
    """The map that an estimator would have made, and the errors in it.

    Attributes:
        iuv: uint8 (H, W, 3) of the same kind as the true one; all 0 if no person was detected.
        swapped: bool (25,), charts whose pixels are those of the body's other side.
        offset: float32 (H, W, 2), by how much U and V are off, in steps of a byte, noise left out.
        turned: whether the map is that of the person turned around.
    """

    iuv: np.ndarray
    swapped: np.ndarray
    offset: np.ndarray
    turned: bool = False


def estimated(iuv: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return the map that the estimator would have made of an image, see `estimate`."""
    return estimate(iuv, errors, generator).iuv


def estimate(iuv: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> Estimate:
    """Return what the estimator would have made of an image.

    The same random numbers are sampled at every rate, so that the errors of one seed grow with the rate.

    Args:
        iuv: the true map, uint8 (H, W, 3), charts 0..24, U = V = 0 where I = 0; it is not modified.
    """
    lost = _lost(errors, generator)  # (25,)
    label, reversed_v = _swapped(errors, generator)  # (25,) both
    missed = generator.random() < errors.rate * errors.missed
    iuv = _displaced(iuv, errors, generator)
    chart = label[iuv[..., 0]]  # (H, W)
    uv = iuv[..., 1:].astype(np.float32)  # (H, W, 2)
    uv[..., 1] = np.where(reversed_v[iuv[..., 0]], 255 - uv[..., 1], uv[..., 1])
    uv, offset = _jittered(uv, chart, errors, generator)
    chart = np.where(lost[chart] | missed, 0, chart).astype(np.uint8)
    result = np.dstack([chart, uv * (chart > 0)[..., None]]).astype(np.uint8)
    # Sampled last: whatever its probability is, the other errors have the numbers that they had without it.
    turns = bool(generator.random() < errors.rate * errors.turned)
    return Estimate(turned(result) if turns else result, label != np.arange(len(PARTNER)), offset, turns)


def _lost(errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Sample which charts are taken for background: bool (25,)."""
    lost = generator.random(len(PARTNER)) < errors.rate * errors.lost_chart
    for limb in (*ARMS, *LEGS, HEAD):
        lost[list(limb)] |= generator.random() < errors.rate * errors.lost_limb
    return lost


def _swapped(errors: EstimatorErrors, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sample the label that each chart gets, uint8 (25,), and the charts on which V is then reversed, bool (25,).

    An estimator that takes a left leg for the right one still sees the same edge on the viewer's left. On the right leg
    that edge has the other end of V, so that V is reversed across a swapped limb.
    """
    label = np.arange(len(PARTNER), dtype=np.uint8)
    for limbs in (ARMS, LEGS):
        if generator.random() < errors.rate * errors.swapped:
            charts = np.ravel(limbs)
            label[charts] = PARTNER[charts]
    reversed_v = np.isin(np.arange(len(PARTNER)), TURNING) & (label != np.arange(len(PARTNER)))
    return label, reversed_v


def _displaced(iuv: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return the map (H, W, 3) with each pixel copied from a few pixels away, which makes outlines ragged."""
    height, width = iuv.shape[:2]
    # A coarse field of normal numbers, interpolated: neighbouring pixels are displaced alike, as a blurred outline is.
    cells = generator.standard_normal((CELLS, max(1, round(CELLS * width / height)), 2), np.float32)
    field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)  # (H, W, 2)
    step = np.rint(errors.rate * errors.outline * height * field).astype(np.intp)
    row = np.clip(np.arange(height)[:, None] + step[..., 0], 0, height - 1)
    column = np.clip(np.arange(width) + step[..., 1], 0, width - 1)
    displaced: np.ndarray = iuv[row, column]  # (H, W, 3)
    return displaced


def _jittered(
    uv: np.ndarray, chart: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return U and V (H, W, 2) as integers, shifted, stretched and sheared on each chart, with noise on each pixel.

    And by how much they are shifted in all, float32 (H, W, 2).
    """
    # Shift and both stretches have variance 0.6. `within` has mean square 1/3 over a whole chart, so that the offset
    # has variance 0.6 (1 + 1/3 + 1/3) = 1.
    shift, *stretch = generator.standard_normal((3, len(PARTNER), 2), np.float32) * np.float32(0.6**0.5)
    within = uv / 127.5 - 1  # (H, W, 2) in -1..1
    offset = shift[chart] + stretch[0][chart] * within[..., :1] + stretch[1][chart] * within[..., 1:]
    grain = generator.standard_normal(uv.shape, np.float32)
    moved = uv + errors.rate * (errors.offset * offset + errors.noise * grain)
    return np.asarray(np.clip(np.rint(moved), 0, 255)), np.asarray(errors.rate * errors.offset * offset, np.float32)
