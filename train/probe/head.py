"""A region head: from a cell of the map and its position to shares of background and the eight regions.

[F, row, |column|] → hidden layer → softmax; fitted to labels by cross entropy with soft targets. It sees the image
alone, so that a network with it needs no maps for inference.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .labels import CLASSES


class RegionHead(nn.Module):
    """Shares of the nine classes for each cell.

    Args:
        channels: of the map.
        hidden: width of the hidden layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.hidden = nn.Linear(channels + 2, hidden)
        self.out = nn.Linear(hidden, CLASSES)

    def forward(self, cells: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Map cells (n, C) and their positions (n, 2) to the logits of their classes (n, 9)."""
        hidden = F.relu(self.hidden(torch.cat([self.norm(cells), position], dim=1)))
        logits: torch.Tensor = self.out(hidden)
        return logits

    @torch.inference_mode()
    def shares(self, maps: torch.Tensor) -> torch.Tensor:
        """Map maps (B, C, h, w) to shares (B, 9, h, w) that sum to 1 in each cell. The head must be in eval mode."""
        B, _, h, w = maps.shape
        cells = maps.permute(0, 2, 3, 1).flatten(0, 2).float()  # (B h w, C)
        logits: torch.Tensor = self(cells, positions((h, w)).to(cells).repeat(B, 1))
        return logits.softmax(1).view(B, h, w, CLASSES).permute(0, 3, 1, 2)


def positions(grid: tuple[int, int]) -> torch.Tensor:
    """Return the row and the distance from the middle column of each cell, in [-1, 1] and [0, 1]: float32 (h w, 2)."""
    h, w = grid
    row = (2 * torch.arange(h) + 1) / h - 1
    column = ((2 * torch.arange(w) + 1) / w - 1).abs()
    return torch.stack(torch.meshgrid(row, column, indexing="ij"), dim=-1).flatten(0, 1)


def fit(
    cells: torch.Tensor, position: torch.Tensor, targets: torch.Tensor, hidden: int, steps: int, batch: int,
    rate: float, generator: torch.Generator,
) -> RegionHead:  # fmt: skip
    """Return a head fitted to labels, in evaluation mode.

    Args:
        cells: float (n, C).
        position: float (n, 2), see `positions`.
        targets: float (n, 9), shares of the classes.
        steps, batch: batches of sampled cells.
        rate: of Adam, decayed to 0 by a cosine.
        generator: of weights and batches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        head = RegionHead(cells.shape[1], hidden)
    optimiser = torch.optim.Adam(head.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    head.train()
    for _ in range(steps):
        sample = torch.randint(len(cells), (min(batch, len(cells)),), generator=generator)
        logits = head(cells[sample].float(), position[sample])
        loss = -(targets[sample].float() * logits.log_softmax(1)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()
