"""What the layout of one map says of the sides of its limbs: no other image is needed.

The torso says which way the person faces. The left arm of a person who faces the camera is on the viewer's right, of
one who turns the back on the left; of two arms seen from the left side the left one is nearer and hides the other.
"""

from __future__ import annotations

import numpy as np

from .exchange import LEFT, LIMBS, RIGHT

TORSO_BACK, TORSO_FRONT = 1, 2
LEAST = 0.005  # of the body's pixels: a torso with fewer says nothing
WHOLE = 0.01  # of the body's pixels: a limb with fewer counts in proportion
UPPER = {"arms": ((15, 17), (16, 18)), "legs": ((8, 10), (7, 9))}
"""Charts of upper arms and upper legs, left and right: shins and forearms cross each other, these do not."""


def facing(iuv: np.ndarray) -> float | None:
    """Return the angle around the torso that faces the camera, in radians; None if hardly any torso is seen.

    From behind 0, from the person's left pi/2, from the front pi (`dsa_data.synthetic.surface`).

    Args:
        iuv: uint8 (H, W, 3).
    """
    chart = iuv[..., 0]
    torso = (chart == TORSO_BACK) | (chart == TORSO_FRONT)
    if torso.sum() <= LEAST * (chart > 0).sum():
        return None
    v = iuv[torso][:, 2] / 255
    # V is 0 at the left seam on both charts: from there it runs round the back (90 to -90) or the front (90 to 270).
    angle = np.radians(90 + np.where(chart[torso] == TORSO_BACK, -180, 180) * v)
    return float(np.angle(np.exp(1j * angle).mean()))


def sides(iuv: np.ndarray, limbs: str) -> tuple[float, float]:
    """Return two clues that the sides of arms or legs are right: positive for right, negative for exchanged, 0 unknown.

    Returns:
        across: how far the left upper arm or leg is on the side where the left of the body is, in heights of the body;
            where one alone is seen, it is compared with the torso; where none is, the rest of the limbs is.
        near: whether more is seen of the limb on the side that faces the camera, -1 to 1.
    """
    angle = facing(iuv)
    chart = iuv[..., 0]
    parts = UPPER[limbs] if np.isin(chart, UPPER[limbs]).any() else LIMBS[limbs]
    masks = [np.isin(chart, parts[side]) for side in (LEFT, RIGHT)]
    count = np.array([mask.sum() for mask in masks])
    if angle is None or not count.any():
        return 0.0, 0.0
    rows, columns = np.nonzero(chart > 0)
    height = rows.max() - rows.min() + 1
    torso = columns[np.isin(chart[rows, columns], (TORSO_BACK, TORSO_FRONT))].mean()
    x = [np.nonzero(mask)[1].mean() if mask.any() else torso for mask in masks]
    enough = min(1.0, count[count > 0].min() / (WHOLE * len(rows)))
    across = (x[LEFT] - x[RIGHT]) / height * -np.cos(angle) * enough
    near = (count[LEFT] - count[RIGHT]) / count.sum() * np.sin(angle)
    return float(across), float(near)
