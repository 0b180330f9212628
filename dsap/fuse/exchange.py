"""Left and right limbs of a map exchanged, as estimators exchange them.

An estimator that takes a left leg for the right one still sees the same edge of it on the viewer's left. On the right
leg that edge has the other end of V: V is reversed, on arms and legs but for hands and feet.
"""

from __future__ import annotations

import numpy as np

from dsa_data.charts import PARTNER

LEFT, RIGHT = 0, 1
LIMBS = {
    "arms": ((4, 15, 17, 19, 21), (3, 16, 18, 20, 22)),
    "legs": ((5, 8, 10, 12, 14), (6, 7, 9, 11, 13)),
}
"""Charts of the left and of the right one, hands and feet included."""
TURNING = range(7, 23)  # charts on which V runs across the limb


def exchanged(iuv: np.ndarray, limbs: str) -> np.ndarray:
    """Return the map uint8 (H, W, 3) with the sides of its arms or legs exchanged; twice is the map itself."""
    result = iuv.copy()
    chart = iuv[..., 0]
    ours = np.isin(chart, LIMBS[limbs])
    result[..., 0] = np.where(ours, PARTNER[chart], chart)
    result[..., 2] = np.where(_turns(chart, ours), 255 - iuv[..., 2], iuv[..., 2])
    return result


def exchanged_fine(fine: np.ndarray, chart: np.ndarray, limbs: str) -> np.ndarray:
    """Return `exchanged` of U and V in 16 bits, uint16 (H, W, 2); `chart` uint8 (H, W) is the map's."""
    result = fine.copy()
    turns = _turns(chart, np.isin(chart, LIMBS[limbs]))
    result[..., 1] = np.where(turns, 65535 - fine[..., 1], fine[..., 1])
    return result


def _turns(chart: np.ndarray, ours: np.ndarray) -> np.ndarray:
    return np.asarray(ours & (chart >= TURNING.start) & (chart < TURNING.stop))
