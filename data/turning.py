"""The map of a person turned around: what an estimator finds that takes a back for a front, or a front for a back.

Every pixel keeps its place in the image, and the body that is seen there is turned by half a turn about its vertical
axis. What is on the viewer's left was the right side of a front, and is the left side of a back. Which point of the
surface that is follows from the sectors of the charts around each part (`synthetic.surface`):

- Torso: back and front are exchanged, and V is reversed.
- Legs: back and front are exchanged, left and right too. V is reversed on upper legs.
- Lower arms: left and right are exchanged, inside and outside stay, V is reversed.
- Upper arms: left and right are exchanged. Their two charts cover 195 and 165 degrees, which are not each other's
  opposites: V decides which chart it is.
- Hands, feet and head: left and right are exchanged. The middle of the face becomes the middle of the back of the head
  with this alone, as U runs from one to the other on both charts.
"""

from __future__ import annotations

import numpy as np

from .charts import PARTNER

BACKS_AND_FRONTS = ((1, 2), (7, 10), (8, 9), (11, 14), (12, 13))
"""Charts that become each other: of the back, of the front on the body's other side."""
REVERSED = (1, 2, *range(7, 11), *range(19, 23))
UPPER_ARMS = ((17, 15), (18, 16))  # of each arm the back, the front
_BACK, _FRONT = 195, 165  # degrees that they cover
_OWN = 60  # degrees of the front that are opposite of itself; the rest is opposite of the back
# Bytes of V from where on the back, and up to where on the front, a chart is opposite of itself. Reflected, these bytes
# are the same bytes, so that turning twice changes no chart.
_BACK_BEGINS, _FRONT_ENDS = 138, 92


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each chart and byte of V the turned chart, and the turned v as start + slope v: (25, 256) each."""
    chart = np.repeat(PARTNER[:, None], 256, axis=1).astype(np.uint8)
    for back, front in BACKS_AND_FRONTS:
        chart[back], chart[front] = front, back
    start, slope = np.zeros(chart.shape), np.ones(chart.shape)
    start[list(REVERSED)], slope[list(REVERSED)] = 1, -1
    for back, front in UPPER_ARMS:
        own, across = slice(_BACK_BEGINS, None), slice(_BACK_BEGINS)
        start[back, own], slope[back, own] = (_BACK_BEGINS + 255) / 255, -1
        start[back, across], slope[back, across] = _OWN / _FRONT, _BACK / _FRONT
        chart[back, across] = PARTNER[front]
        own, across = slice(_FRONT_ENDS + 1), slice(_FRONT_ENDS + 1, None)
        start[front, own], slope[front, own] = _FRONT_ENDS / 255, -1
        start[front, across], slope[front, across] = -_OWN / _BACK, _FRONT / _BACK
        chart[front, across] = PARTNER[back]
    return chart, start, slope


_CHART, _START, _SLOPE = _tables()


def turned(iuv: np.ndarray) -> np.ndarray:
    """Return the map uint8 (H, W, 3) of the person turned around.

    Turned twice it is the map itself, but for V of the upper arms, which may be 1 off.
    """
    chart, v = iuv[..., 0], iuv[..., 2]
    other = _CHART[chart, v]
    row = np.clip(np.rint(255 * _START[chart, v] + _SLOPE[chart, v] * v), 0, 255)
    return np.stack([other, iuv[..., 1], row * (other > 0)], axis=-1).astype(np.uint8)


def turned_fine(fine: np.ndarray, iuv: np.ndarray) -> np.ndarray:
    """Return U and V in 16 bits, uint16 (H, W, 2), of the person turned around; `iuv` uint8 (H, W, 3) is the map."""
    chart, v = iuv[..., 0], iuv[..., 2]
    row = np.floor(65536 * _START[chart, v] + _SLOPE[chart, v] * (fine[..., 1] + 0.5))
    return np.stack([fine[..., 0], np.clip(row, 0, 65535) * (chart > 0)], axis=-1).astype(np.uint16)
