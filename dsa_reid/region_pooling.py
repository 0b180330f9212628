"""Pooling a local feature over the cells of one body region: which region a cell shows, and the weighted mean.

A cell's shares are nine numbers in 0..1, of the background and of the eight regions in the order of `REGION_NAMES`.
The weights with which local map i is pooled are the shares of region i.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import REGIONS
from .pooling import SMALLEST, GeneralisedMean

CLASSES = REGIONS + 1  # the background comes first
HIDDEN = 64  # channels between the two layers of a region head
LEAST = 1e-3  # added to the sum of the weights: a region that no cell shows has a feature near 0
UNKNOWN = 255  # in an image of regions, a pixel without a label


class RegionHead(nn.Module):
    """Predicts each cell's shares from a map and the cell's position: batch norm, 1×1, ReLU, 1×1.

    Without the position legs and arms of one garment look the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels + 2, HIDDEN, 1), nn.ReLU(inplace=True), nn.Conv2d(HIDDEN, CLASSES, 1)
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None, "1×1 convolutions of a region head have a bias"
                nn.init.zeros_(layer.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w) to logits (B, 9, h, w)."""
        return self.classify(maps, position(maps))

    def classify(self, maps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w), whose cells have the positions (B, 2, h, w), to logits (B, 9, h, w)."""
        logits: torch.Tensor = self.layers(torch.cat([self.norm(maps), places.to(maps.dtype)], dim=1))
        return logits


def position(maps: torch.Tensor) -> torch.Tensor:
    """Return the row, -1 to 1, and the distance from the middle column, 0 to 1, of the cells of maps: (B, 2, h, w).

    Left and right are not distinguished, so that flipped images have flipped regions.
    """
    B, _, h, w = maps.shape
    rows = torch.linspace(-1, 1, h, device=maps.device)[:, None].expand(h, w)
    columns = torch.linspace(-1, 1, w, device=maps.device).abs()[None].expand(h, w)
    return torch.stack([rows, columns]).expand(B, 2, h, w)


def stripes(h: int, w: int, device: torch.device | None = None) -> torch.Tensor:
    """Return the shares of eight horizontal stripes of equal height in h×w cells: (1, 8, h, w).

    A row on the border of two stripes belongs to each by the part of its height that is in it.
    """
    edges = torch.arange(REGIONS, device=device)[:, None] * h  # of stripes and of rows, in units of 1 / (8·h)
    rows = torch.arange(h, device=device)[None] * REGIONS
    overlap = torch.minimum(edges + h, rows + REGIONS) - torch.maximum(edges, rows)  # (8, h)
    return (overlap.clamp(min=0) / REGIONS)[None, :, :, None].expand(1, REGIONS, h, w)


def label_shares(regions: torch.Tensor) -> torch.Tensor:
    """Return the shares of pixels: uint8 (B, H, W), 0 to 8 or `UNKNOWN`, to float32 (B, 9, H, W); 0 where unknown."""
    classes = torch.arange(CLASSES, device=regions.device, dtype=regions.dtype)
    return (regions[:, None] == classes[:, None, None]).float()


def in_cells(shares: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the means of shares (B, 9, H, W) over h×w cells: (B, 9, h, w). A cell's sum is the part that is known."""
    return F.adaptive_avg_pool2d(shares, size)


def region_pooled(maps: torch.Tensor, weights: torch.Tensor, pool: GeneralisedMean | None = None) -> torch.Tensor:
    """Return local feature i pooled over local map i with the weights of region i, in float32 or better.

    Args:
        maps: (B, 8·C, h, w), the eight local maps side by side.
        weights: (B, 8, h, w), or (1, 8, h, w) for all images alike.
        pool: takes the generalised mean; None for the mean, Σ M·P / (Σ P + 0.001).

    Returns (B, 8, C).
    """
    return weighted_mean(maps.unflatten(1, (REGIONS, -1)), weights[:, :, None], pool)


def weighted_mean(x: torch.Tensor, weights: torch.Tensor, pool: GeneralisedMean | None = None) -> torch.Tensor:
    """Return the weighted mean over the last two dimensions of maps (…, h, w), in float32 or better: (…).

    Args:
        weights: of a shape that is broadcast to that of the maps.
        pool: takes the generalised mean; None for the mean.
    """
    kind = torch.promote_types(x.dtype, torch.float32)
    x, P = x.to(kind), weights.to(kind)
    if pool is not None:
        x = x.clamp(min=SMALLEST).pow(pool.p)
    mean: torch.Tensor = (x * P).sum((-2, -1)) / (P.sum((-2, -1)) + LEAST)
    if pool is not None:
        mean = mean.clamp(min=SMALLEST).pow(1 / pool.p)
    return mean


def visibility(shares: torch.Tensor) -> torch.Tensor:
    """Return how surely each region is seen: its greatest share in a cell, (B, 9, h, w) to (B, 8)."""
    return shares[:, 1:].amax((2, 3))
