"""Shares: which part of a feature's squared length comes from which position (Stylianou, Souvenir and Pless 2019).

An average-pooled feature is f = mean over positions p of m(p), so that |f|² = mean over p of <m(p), f>. The share of a
position is exact; the map is as coarse as the head's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from dsa_app.errors import ConfigError
from dsa_data.charts import BODY_REGIONS
from dsa_reid.config import COARSE
from dsa_reid.local_pooling import LocalPooling, shares_of
from dsa_reid.main_stream import MainStream
from dsa_reid.pooling import SMALLEST
from dsa_reid.region_pooling import LEAST


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

    With two levels h and w are those of the finer one.

    Args:
        network: in evaluation mode.
        images: normalised, float (B, 3, H, W).

    Raises ConfigError for a class token, which is no mean over positions, and for a feature that joins pieces.
    """
    if network.config.global_feature == "token":
        raise ConfigError(
            "The global feature of this network is a ViT's class token, which is no mean over positions. Use --method "
            "occlusion."
        )
    if network.config.has_pieces:
        raise ConfigError(
            f"Shares are of features that are averages of a map; the head {network.config.head!r} joins pieces. Use "
            "--method occlusion."
        )
    maps = network.trunk.levels(images)
    power = float(network.pool.p) if network.pool else 1.0
    found = [] if network.global_head is None else [shares(network.global_head(maps[COARSE]), power)]
    if network.local_head is not None:
        found += _local_shares(network.local_pooling, maps, network.local_head(maps[COARSE]), power).unbind(1)
    size = max(tuple(one.shape[1:]) for one in found)
    return torch.stack([_enlarged(one[:, None], size)[:, 0] for one in found], dim=1)


def _local_shares(
    pooling: LocalPooling | None, maps: Mapping[int, torch.Tensor], local: torch.Tensor, power: float
) -> torch.Tensor:
    """Return the shares of the eight local features: float64 (B, 8, h, w), summing to 1 for each.

    A feature that joins several sources has the sum of their parts: <m, f> of each, where f is the source's own feature
    if they are concatenated, and the sum of all if they are added.
    """
    if pooling is None:
        return torch.stack([shares(one, power) for one in local.chunk(len(BODY_REGIONS), dim=1)], dim=1)
    seen = {level: shares_of(logits) for level, logits in pooling.predict(maps).items()}
    parts = []  # of each source: what its cells add to the p-th power, and its feature
    for source in pooling.look(maps, local, seen):
        x = source.maps.double().unflatten(1, (len(BODY_REGIONS), -1))  # (B, 8, C, h, w)
        x = x if power == 1 else x.clamp(min=SMALLEST).pow(power)
        weights = torch.ones_like(x[:1, :, 0]) if source.weights is None else source.weights.double()
        of_cells = x * (weights / (weights.sum((2, 3), keepdim=True) + LEAST))[:, :, None]
        parts.append((of_cells, of_cells.sum((3, 4)).pow(1 / power)))
    together = torch.stack([own for _, own in parts]).sum(0) if pooling.join == "sum" else None
    size = max(tuple(of_cells.shape[3:]) for of_cells, _ in parts)
    total = torch.zeros(*local.shape[:1], len(BODY_REGIONS), *size, dtype=torch.float64, device=local.device)
    for of_cells, own in parts:
        f = own if together is None else together
        scale = f if power == 1 else f * own.pow(1 - power)
        total += _enlarged((of_cells * scale[..., None, None]).sum(2), size)
    whole = total.sum((2, 3), keepdim=True)
    return torch.where(whole > 0, total / whole, 0)


def _enlarged(parts: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Divide the parts of cells (B, n, h, w) evenly among smaller cells, to (B, n, *size)."""
    if tuple(parts.shape[2:]) == tuple(size):
        return parts
    before = parts.sum((2, 3), keepdim=True)
    enlarged = F.interpolate(parts, size=tuple(size), mode="nearest")
    after = enlarged.sum((2, 3), keepdim=True)
    return torch.where(after > 0, enlarged * before / after, 0)
