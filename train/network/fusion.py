"""Fusion of a main-stream feature f and a guide feature d into z (section 3.2.3), and Table 5's alternative."""

from __future__ import annotations

import torch
from torch import nn


class Sum(nn.Module):
    """z = f + d, the paper's choice: the gradient of every loss on z reaches f unchanged."""

    def forward(self, f: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """Add two features of one shape."""
        return f + d


class Concatenation(nn.Module):
    """z = FC([f, d]), Table 5's "Concatenation + fc"; z has the shape of f.

    Args:
        width: dimensions of f (2048), over all local heads where there are several.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * width, width)

    def forward(self, f: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """Join f and d, each (B, G) or (B, 8, G/8), to z of that shape."""
        both = torch.cat([f.flatten(1), d.flatten(1)], dim=1)  # (B, 2·G)
        z: torch.Tensor = self.fc(both)
        return z.view_as(f)
