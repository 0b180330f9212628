"""Joining features, and distances between them."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from .errors import ModelError


def join(*features: torch.Tensor | None) -> torch.Tensor:
    """Return features concatenated, each divided by its length.

    Args:
        features: (B, D) or (B, 8, L), the latter as one feature of 8·L dimensions; None is left out.

    Returns float (B, ΣD).
    """
    return torch.cat([F.normalize(feature.flatten(1)) for feature in features if feature is not None], dim=1)


def distances(a: torch.Tensor, b: torch.Tensor, metric: Literal["euclidean", "cosine"] = "euclidean") -> torch.Tensor:
    """Return the distance of every row of `a` to every row of `b`; smaller is more similar.

    A row of the result depends only on its row of `a`, so that a large `a` may be computed in blocks.

    Args:
        a: float (Q, D), as from `Model.embed`.
        b: float (G, D).
        metric: Euclidean, ≥ 0, or cosine: one minus the cosine of the angle, in 0..2.

    Returns float (Q, G). Raises ModelError for features of different dimensions, or for another metric.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ModelError(
            f"Features of shape {tuple(a.shape)} and {tuple(b.shape)} cannot be compared: "
            "expected (Q, D) and (G, D). Embed both with the same model."
        )
    if metric == "cosine":
        return 1 - F.normalize(a) @ F.normalize(b).T
    if metric == "euclidean":
        # |a - b|² = |b|² - 2 a·b + |a|², in place: (Q, G) may be most of the memory. Rounding may leave a small
        # negative number where a = b.
        squared = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
        return squared.add_(a.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_()
    raise ModelError(f"metric = {metric!r} is invalid: expected 'euclidean' or 'cosine'.")
