"""Margins in the identity loss: circle, ArcFace and CosFace, from cosines to logits; the paper has none.

A classifier of these kinds gives the cosines between a feature and the direction of each identity
(`network.classifiers`). The margin makes the cosine of the image's own identity harder to satisfy, and the cross
entropy is that of the logits made here.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .precision import at_least_float32

LEAST = 1e-12  # of a squared sine, whose root has an infinite gradient at 0


def with_margin(cosines: torch.Tensor, labels: torch.Tensor, kind: str, margin: float, scale: float) -> torch.Tensor:
    """Return logits with a margin.

    Args:
        cosines: (B, identities).
        labels: int64 (B).
        kind: "circle" (Sun et al. 2020, equation 6 with class-level labels), "arcface" (Deng et al. 2019, equation 3)
            or "cosface" (Wang et al. 2018, equation 4).
        margin: m; of arcface an angle in radians.
        scale: s, or γ of circle.
    """
    cosines = at_least_float32(cosines)
    own = F.one_hot(labels, cosines.shape[1]).bool()
    if kind == "circle":
        # Constants of the gradient, as in `circle.circle_loss`: how far a cosine is from its optimum.
        positive = F.relu(1 + margin - cosines.detach()) * (cosines - (1 - margin))
        negative = F.relu(cosines.detach() + margin) * (cosines - margin)
        return scale * torch.where(own, positive, negative)
    harder = cosines - margin if kind == "cosface" else _of_larger_angle(cosines, margin)
    return scale * torch.where(own, harder, cosines)


def _of_larger_angle(cosines: torch.Tensor, margin: float) -> torch.Tensor:
    """Return cos(θ + m) for cos θ; where θ + m would be more than π, cos θ - m·sin m, as the authors' code has it."""
    sines = (1 - cosines**2).clamp(min=LEAST).sqrt()
    larger = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), larger, cosines - margin * math.sin(margin))
