"""Distances by body region, from the eight local features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .config import REGIONS
from .errors import ModelError
from .metric import as_tensor, check_finite


class Explanation(NamedTuple):
    """How K results compare with their query, by region.

    Attributes:
        distances: float (K, 8), Euclidean between features of length one: 0 to 2.
        agreement: float (K, 8), -1 to 1, linear in the distance: 1 where the result is as near in this region as the
            nearest of other images, 0 where it is at their median distance, negative where it is farther.
    """

    distances: torch.Tensor
    agreement: torch.Tensor


def region_distances(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray, parts: dict[str, int]) -> torch.Tensor:
    """Return the distance of every row of `a` to every row of `b` in each of the eight regions.

    Args:
        a: float (Q, D), as from `Model.embed`; a tensor or an array.
        b: float (G, D), a tensor or an array.
        parts: `Model.parts`, which gives the columns of the local features.

    Returns float (Q, G, 8): Euclidean between local features, each scaled to length one. Raises ModelError for features
    without a local part, and for features that are not finite.
    """
    regions_a = _regions(as_tensor(a), parts, "the first features")  # (Q, 8, L)
    regions_b = _regions(as_tensor(b), parts, "the second features")  # (G, 8, L)
    with torch.autocast(regions_a.device.type, enabled=False):
        cosines = torch.einsum("qrl,grl->qgr", regions_a, regions_b)
    return (2 - 2 * cosines).clamp(min=0).sqrt()


def explain(
    query: torch.Tensor | np.ndarray,
    found: torch.Tensor | np.ndarray,
    others: torch.Tensor | np.ndarray,
    parts: dict[str, int],
) -> Explanation:
    """Compare a query with its results, region by region, relative to the distances of `others`.

    Args:
        query: float (D,), a tensor or an array, as the others.
        found: float (K, D), the results.
        others: float (S, D): the gallery, or a random sample of it.
        parts: `Model.parts`.

    Raises ModelError for features without a local part.
    """
    distances = region_distances(query[None], found, parts)[0]  # (K, 8)
    of_others = region_distances(query[None], others, parts)[0]  # (S, 8)
    median, smallest = of_others.median(0).values, of_others.min(0).values  # (8,) each
    agreement = ((median - distances) / (median - smallest).clamp(min=1e-6)).clamp(-1, 1)
    # 1 for every result that is as near as the nearest other, also where all others are at the same distance.
    return Explanation(distances, agreement.where(distances > smallest, 1))


def _regions(features: torch.Tensor, parts: dict[str, int], name: str) -> torch.Tensor:
    """Return the local features of rows (N, D), each of length one: (N, 8, L)."""
    if "local" not in parts:
        raise ModelError(
            "These features have no local part. Use a model that was trained with heads 'both' or 'local'."
        )
    if features.ndim != 2 or features.shape[1] != sum(parts.values()):
        raise ModelError(
            f"Features of shape {tuple(features.shape)} do not have the parts {parts}. Use the parts of their model."
        )
    check_finite(features, name)
    local = features[:, features.shape[1] - parts["local"] :].float()  # the local part comes last
    return F.normalize(local.unflatten(1, (REGIONS, -1)), dim=2)
