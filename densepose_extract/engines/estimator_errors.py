"""The errors that DensePose makes on small crops, put into true maps: what a guide has to live with on photographs."""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from dsa_app.config import config
from dsa_data.charts import PARTNER

ARMS = ((4, 15, 17, 19, 21), (3, 16, 18, 20, 22))  # charts of the left one, of the right one, hands included
LEGS = ((5, 8, 10, 12, 14), (6, 7, 9, 11, 13))
HEAD = (23, 24)
TURNING = np.arange(7, 23)  # limbs, where V runs across: it turns round with the side
CELLS = 12  # of the field that displaces outlines, down the picture


@config
class EstimatorErrors:
    """How often and how much the estimator errs; the defaults are those of hard crops (docs/design/, D-062).

    Every error is multiplied by `rate`: 1 is realistic, 0 the truth, 2 twice as bad. With the same seed the parts that
    are lost at a small rate are lost at every greater one.

    Attributes:
        missed: share of people who are not found at all.
        lost_limb: chance of an arm, a leg or the head to be taken for background.
        lost_chart: the same of each of the 24 charts.
        swapped: chance of the arms to have left and right exchanged; the same of the legs.
        offset: deviation of u and v, in units of the map's bytes (0..255), that is smooth over a chart.
        noise: the same, of each pixel by itself.
        outline: deviation by which outlines of charts and body are out of place, as a share of the picture's height.
        seed: another one gives other errors of the same kind.
    """

    rate: float = Field(default=1.0, ge=0)
    missed: float = Field(default=0.15, ge=0, le=1)
    lost_limb: float = Field(default=0.06, ge=0, le=1)
    lost_chart: float = Field(default=0.06, ge=0, le=1)
    swapped: float = Field(default=0.08, ge=0, le=1)
    offset: float = Field(default=12.0, ge=0, le=255)
    noise: float = Field(default=3.0, ge=0, le=255)
    outline: float = Field(default=0.01, ge=0, le=1)
    seed: int = Field(default=0, ge=0)


def estimated(iuv: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return what the estimator would have said of a picture.

    The same numbers are drawn whatever the rate, so that one seed's errors grow with it.

    Args:
        iuv: the truth, uint8 (H, W, 3), charts 0..24, U = V = 0 where I = 0; is left as it is.

    Returns:
        uint8 (H, W, 3) of the same kind; all 0 if nobody was found.
    """
    lost = _lost(errors, generator)  # (25,)
    reading, turned = _swapped(errors, generator)  # (25,) both
    missed = generator.random() < errors.rate * errors.missed
    iuv = _displaced(iuv, errors, generator)
    chart = reading[iuv[..., 0]]  # (H, W)
    uv = iuv[..., 1:].astype(np.float32)  # (H, W, 2)
    uv[..., 1] = np.where(turned[iuv[..., 0]], 255 - uv[..., 1], uv[..., 1])
    uv = _jittered(uv, chart, errors, generator)
    chart = np.where(lost[chart] | missed, 0, chart).astype(np.uint8)
    return np.dstack([chart, uv * (chart > 0)[..., None]]).astype(np.uint8)


def _lost(errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Draw which charts are taken for background: bool (25,)."""
    lost = generator.random(len(PARTNER)) < errors.rate * errors.lost_chart
    for limb in (*ARMS, *LEGS, HEAD):
        lost[list(limb)] |= generator.random() < errors.rate * errors.lost_limb
    return lost


def _swapped(errors: EstimatorErrors, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw what each chart is taken for, uint8 (25,), and on which V then runs the other way, bool (25,).

    Whoever takes a left leg for the right one still sees its left edge on the left, which of the right leg is the other
    side: so across the limb the coordinate turns round.
    """
    reading = np.arange(len(PARTNER), dtype=np.uint8)
    for limbs in (ARMS, LEGS):
        if generator.random() < errors.rate * errors.swapped:
            charts = np.ravel(limbs)
            reading[charts] = PARTNER[charts]
    turned = np.isin(np.arange(len(PARTNER)), TURNING) & (reading != np.arange(len(PARTNER)))
    return reading, turned


def _displaced(iuv: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return the map (H, W, 3) with every pixel's answer taken from a little beside it: outlines become ragged."""
    height, width = iuv.shape[:2]
    cells = generator.standard_normal((CELLS, max(1, round(CELLS * width / height)), 2), np.float32)
    field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)  # (H, W, 2)
    step = np.rint(errors.rate * errors.outline * height * field).astype(np.intp)
    row = np.clip(np.arange(height)[:, None] + step[..., 0], 0, height - 1)
    column = np.clip(np.arange(width) + step[..., 1], 0, width - 1)
    return iuv[row, column]


def _jittered(uv: np.ndarray, chart: np.ndarray, errors: EstimatorErrors, generator: np.random.Generator) -> np.ndarray:
    """Return U and V (H, W, 2), shifted, stretched and sheared a little on each chart, and noisy: whole numbers."""
    shift, *stretch = generator.standard_normal((3, len(PARTNER), 2), np.float32) * np.float32(0.6**0.5)
    within = uv / 127.5 - 1  # (H, W, 2) in -1..1, of mean square 1/3: with 0.6 the offsets' is 1 over a whole chart
    offset = shift[chart] + stretch[0][chart] * within[..., :1] + stretch[1][chart] * within[..., 1:]
    grain = generator.standard_normal(uv.shape, np.float32)
    return np.clip(np.rint(uv + errors.rate * (errors.offset * offset + errors.noise * grain)), 0, 255)
