"""Eight local features of one map, pooled by eight weights for each cell: f_i = Σ F·W_i / (Σ W_i + 0.001)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_reid.region_pooling import LEAST


def pool(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the local features (B, 8, C) of maps (B, C, h, w) by weights (B or 1, 8, h, w), in float32.

    As `region_pooling.region_pooled`, but every feature is of the same map.
    """
    M, W = maps.float().flatten(2), weights.float().flatten(2)  # (B, C, hw), (B, 8, hw)
    return (W.expand(len(M), -1, -1) @ M.transpose(1, 2)) / (W.sum(2, keepdim=True) + LEAST)


def template(shares: NDArray[np.float16], known: NDArray[np.bool_]) -> torch.Tensor:
    """Return the average person's regions: the mean of labels (N, 9, h, w) over images that have them, (1, 9, h, w)."""
    return torch.from_numpy(shares[known].astype(np.float32).mean(0, keepdims=True))
