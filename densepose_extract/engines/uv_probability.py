"""The probability that u and v are right, from the variances that the WC1 and WC2 models state.

The error (du, dv) of a pixel is a normal variable (Neverova, Novotny and Vedaldi, "Correlated Uncertainty for Learning
Dense Correspondences from Noisy Labels", NeurIPS 2019). Its covariance is s I for WC1 (detectron2's "iid_iso") and
s I + r r' for WC2 ("indep_aniso"), with s = softplus(sigma_2) + 0.01 and r = (kappa_u, kappa_v).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .stated import TOLERANCE

LEAST = 0.01  # UV_CONFIDENCE.EPSILON of all published models: the least variance that they can state
RADIUS = TOLERANCE / 255
ANGLES = 16  # of a quarter turn: the integral is exact to 1e-7 for variances up to 400 times apart


def uv_probability(sigma_2: Tensor, kappa_u: Tensor | None = None, kappa_v: Tensor | None = None) -> Tensor:
    """Return the probability that u and v are right, float32 of the shape of `sigma_2`, in 0 .. 1.

    Right is within 24 steps of a byte of the truth, u and v together, as for the `rendered` engine. The probability is
    divided by that of the least variance: training cannot distinguish variances below it, so that a pixel which states
    it counts as right. Without this no pixel would have more than 0.36.

    Args:
        sigma_2, kappa_u, kappa_v: raw heads, of any shape. Without kappa the covariance is that of WC1.
    """
    least = F.softplus(sigma_2.float()) + LEAST
    if kappa_u is None or kappa_v is None:
        within = -torch.expm1(-(RADIUS**2) / (2 * least))
    else:
        within = within_circle(least, least + kappa_u.float() ** 2 + kappa_v.float() ** 2)
    return within / -math.expm1(-(RADIUS**2) / (2 * LEAST))


def within_circle(first: Tensor, second: Tensor) -> Tensor:
    """Return the probability that a normal error with these variances along its axes is shorter than `RADIUS`.

    The length is integrated in closed form for each direction, and the directions by the midpoint rule.
    """
    total = torch.zeros_like(first)
    for step in range(ANGLES):
        angle = (step + 0.5) * math.pi / (2 * ANGLES)
        inverse = math.cos(angle) ** 2 / first + math.sin(angle) ** 2 / second
        total += -torch.expm1(-(RADIUS**2) / 2 * inverse) / inverse
    return total / (ANGLES * (first * second).sqrt())
