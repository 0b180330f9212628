"""Distances by body region: what the eight local features say one by one."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from .config import REGIONS
from .errors import ModelError


class Explanation(NamedTuple):
    """How one query compares with what was found for it, by region.

    Attributes:
        distances: float (K, 8), Euclidean between features of length one: 0 to 2.
        agreement: float (K, 8), -1 to 1: 1 where it is as near in this region as the nearest of other pictures, 0
            where it is no nearer than half of them, below 0 where it is farther, linear in the distance.
    """

    distances: torch.Tensor
    agreement: torch.Tensor


def region_distances(a: torch.Tensor, b: torch.Tensor, parts: dict[str, int]) -> torch.Tensor:
    """Return the distance of every row of `a` to every row of `b` in each of the eight regions.

    Args:
        a: float (Q, D), as from `Model.embed`.
        b: float (G, D).
        parts: `Model.parts`: where in a row the local features are.

    Returns float (Q, G, 8): Euclidean between local features that are each brought to length one. Raises ModelError
    for features without local ones.
    """
    regions_a, regions_b = _regions(a, parts), _regions(b, parts)  # (Q, 8, L), (G, 8, L)
    cosines = torch.einsum("qrl,grl->qgr", regions_a, regions_b)
    return (2 - 2 * cosines).clamp(min=0).sqrt()


def explain(query: torch.Tensor, found: torch.Tensor, others: torch.Tensor, parts: dict[str, int]) -> Explanation:
    """Compare a query with what was found, region by region, measured by how `others` lie.

    Args:
        query: float (D,).
        found: float (K, D).
        others: float (S, D): the gallery, or as much of it as gives a fair sample.
        parts: `Model.parts`.

    Raises ModelError for features without local ones.
    """
    near = region_distances(query[None], found, parts)[0]  # (K, 8)
    usual = region_distances(query[None], others, parts)[0]  # (S, 8)
    median, least = usual.median(0).values, usual.min(0).values  # (8,) each
    agreement = ((median - near) / (median - least).clamp(min=1e-6)).clamp(-1, 1)
    return Explanation(near, agreement.where(near > least, 1))  # also where all others are one, or as near


def _regions(features: torch.Tensor, parts: dict[str, int]) -> torch.Tensor:
    """Return the local features of rows (N, D), each of length one: (N, 8, L)."""
    if "local" not in parts:
        raise ModelError(
            "These features have no local part. Use a model that was trained with heads 'both' or 'local'."
        )
    if features.ndim != 2 or features.shape[1] != sum(parts.values()):
        raise ModelError(f"Features of shape {tuple(features.shape)} do not have the parts {parts}.")
    local = features[:, features.shape[1] - parts["local"] :].float()  # the local part comes last
    return F.normalize(local.unflatten(1, (REGIONS, -1)), dim=2)
