"""Pooling over the height and width of maps, in float32 or better."""

from __future__ import annotations

import torch
from torch import nn

SMALLEST = 1e-6  # values are clamped to at least this, as the gradient of a root at zero is infinite


def average(maps: torch.Tensor) -> torch.Tensor:
    """Map (B, C, h, w) to the means (B, C), the paper's choice."""
    return maps.mean((2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


class GeneralisedMean(nn.Module):
    """GeM (Radenović et al. 2018, equation 3): the p-th root of the mean p-th power, with p trained from 3.

    One power for all channels of both heads; p = 1 is the average, a large p the maximum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w), not negative, to (B, C)."""
        # Autocast leaves these operations in float32. A context that disables it would prevent the export.
        x = maps.to(torch.promote_types(maps.dtype, torch.float32)).clamp(min=SMALLEST)
        return x.pow(self.p).mean((2, 3)).pow(1 / self.p)
