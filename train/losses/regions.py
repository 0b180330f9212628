"""The loss of the region heads, soft-label cross entropy over cells, and how many cells they have right."""

from __future__ import annotations

import torch

from .precision import at_least_float32


def region_loss(logits: torch.Tensor, shares: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return the cross entropy of predicted shares against the labels, a mean over cells by how much of each is known.

    Args:
        logits: (B, 9, h, w).
        shares: of the labels, float (B, 9, h, w); a cell's sum is the part of it that is known, which is its weight.
        smoothing: ε of the labels: 1 - ε on each label's share, plus ε / 9 on every class.

    Zero, still attached to the graph, if nothing is known in any image.
    """
    log_p = at_least_float32(logits).log_softmax(1)
    known = shares.sum(1)  # (B, h, w)
    losses = -(1 - smoothing) * (shares * log_p).sum(1) - smoothing * known * log_p.mean(1)
    return losses.sum() / known.sum().clamp(min=1)


@torch.no_grad()
def cells_right(scores: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return the part of the cells with a label whose greatest score is that of the label's greatest share.

    Args:
        scores: (B, 9, h, w), or (1, 9, h, w) for all images alike.
        shares: of the labels, (B, 9, h, w).

    A scalar; 0 if no cell has a label.
    """
    known = shares.any(1)  # (B, h, w)
    right = (scores.argmax(1) == shares.argmax(1)) & known
    return right.sum() / known.sum().clamp(min=1)
