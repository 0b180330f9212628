"""The batch-hard triplet loss (section 3.2.4; Hermans et al. 2017): distance, mining and reduction stand apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .precision import at_least_float32

LEAST = 1e-6  # of the weights of a mean: two images that share no visible region have the distance 0


def batch_hard_triplet(features: torch.Tensor, pids: torch.Tensor, margin: float | None) -> torch.Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017, equation 5), a mean over anchors.

    Anchors without another image of their identity, or without another identity, are left out; where none is left the
    loss is zero, still attached to the graph.

    Args:
        features: (B, D), unnormalised.
        pids: (B).
        margin: in units of the distance; None for the soft margin, ln(1 + exp(d_p - d_n)).
    """
    return _hard_triplet(euclidean(at_least_float32(features)), pids, margin)


def region_triplet(
    features: torch.Tensor, visibility: torch.Tensor, pids: torch.Tensor, margin: float | None
) -> torch.Tensor:
    """Return the batch-hard triplet loss of local features, as `batch_hard_triplet`.

    Args:
        features: (B, 8, L), unnormalised.
        visibility: of the regions, (B, 8), 0 to 1.
        pids: (B).
    """
    return _hard_triplet(region_distances(at_least_float32(features), at_least_float32(visibility)), pids, margin)


def region_distances(features: torch.Tensor, visibility: torch.Tensor) -> torch.Tensor:
    """Return the distances (B, B) between local features (B, 8, L) (Somers et al. 2023, equations 6 and 7).

    The mean of the eight regions' distances, weighted by the root of the product of both visibilities (B, 8).
    """
    distances = euclidean(features.transpose(0, 1))  # (8, B, B)
    root = visibility.clamp(min=0).sqrt().T  # (8, B)
    weights = root[:, :, None] * root[:, None, :]  # (8, B, B)
    return (weights * distances).sum(0) / weights.sum(0).clamp(min=LEAST)


def _hard_triplet(distances: torch.Tensor, pids: torch.Tensor, margin: float | None) -> torch.Tensor:
    """Return the batch-hard triplet loss of distances (B, B)."""
    positive, negative = hardest(distances, pids)  # (B), (B)
    # Only the two infinities that `hardest` sets mean "no triplet". A NaN is kept, so that a broken feature gives a
    # loss that is not finite, which the training loop reports.
    valid = (positive != -torch.inf) & (negative != torch.inf)
    # Without a triplet the difference is infinite, whose gradient would be a NaN even where it is not used.
    difference = torch.where(valid, positive - negative, 0)
    losses = F.softplus(difference) if margin is None else F.relu(margin + positive - negative)
    return torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1)


def euclidean(features: torch.Tensor) -> torch.Tensor:
    """Return the distances (…, B, B) between features (…, B, D).

    Computed from differences, which is exact for near neighbours; the gradient at distance zero is zero.
    """
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def hardest(distances: torch.Tensor, pids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each anchor's distance to its farthest positive and to its nearest negative, both (B).

    An anchor is not its own positive. Where there is no positive the distance is -inf, no negative +inf.
    """
    same = pids[:, None] == pids[None, :]  # (B, B)
    itself = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    positive = distances.masked_fill(~same | itself, -torch.inf).amax(dim=1)
    negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    return positive, negative
