"""The circle loss (Sun et al. 2020), an alternative to the triplet loss; the paper does not use it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .precision import at_least_float32


def circle_loss(features: torch.Tensor, pids: torch.Tensor, margin: float, scale: float) -> torch.Tensor:
    """Return the circle loss over pairs (Sun et al. 2020, equation 6), a mean over anchors.

    Anchors are left out, and an empty set is zero, as in `triplet.batch_hard_triplet`.

    Args:
        features: (B, D); compared by the cosine.
        pids: (B).
        margin, scale: that paper's m and γ.
    """
    unit = F.normalize(at_least_float32(features))
    similarity = unit @ unit.T  # (B, B)
    same = pids[:, None] == pids[None, :]
    itself = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    # Each pair is weighted by how far it is from its optimum (1 + m for positives, -m for negatives). The weights are
    # constants of the gradient, hence the detach.
    positive = -scale * F.relu(1 + margin - similarity.detach()) * (similarity - (1 - margin))
    negative = scale * F.relu(similarity.detach() + margin) * (similarity - margin)
    least = torch.finfo(similarity.dtype).min  # not -inf, whose gradient in an empty row is not a number
    losses = F.softplus(
        positive.masked_fill(~same | itself, least).logsumexp(1) + negative.masked_fill(same, least).logsumexp(1)
    )  # (B)
    valid = (same & ~itself).any(1) & ~same.all(1)
    return torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1)
