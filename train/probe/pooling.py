"""Eight local features of a map, pooled by weights for each cell: f_i = Σ F·W_i / Σ W_i."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

LOCAL = 8
LEAST = 1e-3  # added to the sum of weights: a region that is not visible gives a feature near 0


def pool(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the local features (B, 8, C) of maps (B, C, h, w) by weights (B or 1, 8, h, w), in float32."""
    M, W = maps.float().flatten(2), weights.float().flatten(2)  # (B, C, hw), (B, 8, hw)
    return (W.expand(len(M), -1, -1) @ M.transpose(1, 2)) / (W.sum(2, keepdim=True) + LEAST)


def stripes(grid: tuple[int, int]) -> torch.Tensor:
    """Return weights of eight horizontal stripes of equal height, float32 (1, 8, h, w); cells may belong to two."""
    h, w = grid
    edges = torch.linspace(0, h, LOCAL + 1)
    top, bottom = torch.arange(h)[None], torch.arange(1, h + 1)[None]  # (1, h)
    overlap = torch.minimum(bottom, edges[1:, None]) - torch.maximum(top, edges[:-1, None])  # (8, h)
    return overlap.clamp(min=0)[None, :, :, None].expand(1, LOCAL, h, w).contiguous()


def template(shares: NDArray[np.float16], known: NDArray[np.bool_]) -> torch.Tensor:
    """Return the average person's regions: the mean of labels (N, 9, h, w) over images that have them, (1, 9, h, w)."""
    return torch.from_numpy(shares[known].astype(np.float32).mean(0, keepdims=True))
