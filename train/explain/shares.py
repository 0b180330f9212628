"""Shares: which part of a feature's squared length comes from which position (Stylianou, Souvenir and Pless 2019).

An average-pooled feature is f = mean over positions p of m(p), so that |f|² = mean over p of <m(p), f>. The share of a
position is exact; the map is as coarse as the head's output.
"""

from __future__ import annotations

import torch

from dsa_data.charts import BODY_REGIONS
from dsa_reid.main_stream import MainStream
from dsa_reid.pooling import SMALLEST


def shares(maps: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    """Return each position's share of the squared length of the feature that is pooled from a map.

    With f_c the root of the mean of the p-th powers, f_c² = f_c^(2-p) · mean of m_c(p)^p: exact for the average (p = 1)
    and for the generalised mean.

    Args:
        maps: not negative, float (B, C, h, w).
        power: p of the pooling.

    Returns:
        float64 (B, h, w), summing to 1 for each image; all 0 for a feature of length 0.
    """
    x = maps.double() if power == 1 else maps.double().clamp(min=SMALLEST)
    f = x.pow(power).mean((2, 3), keepdim=True).pow(1 / power)  # (B, C, 1, 1)
    parts = (f.pow(2 - power) * x.pow(power)).sum(1)  # (B, h, w), together h·w·|f|²
    whole = parts.sum((1, 2), keepdim=True)
    return torch.where(whole > 0, parts / whole, 0)


@torch.inference_mode()
def feature_shares(network: MainStream, images: torch.Tensor) -> torch.Tensor:
    """Return the shares of every feature of a main stream, before any neck: float64 (B, F, h, w).

    Args:
        network: in evaluation mode.
        images: normalised, float (B, 3, H, W).
    """
    F_ = network.trunk(images)
    power = float(network.pool.p) if network.pool else 1.0
    maps = [] if network.global_head is None else [network.global_head(F_)]  # (B, G, h, w)
    if network.local_head is not None:
        maps += network.local_head(F_).chunk(len(BODY_REGIONS), dim=1)  # eight of (B, L, h, w)
    return torch.stack([shares(one, power) for one in maps], dim=1)
