"""The thirteen terms of section 3.2.4: identity (cross entropy) and batch-hard triplet losses.

Distance, mining and reduction stand apart. All are functions of tensors and computed in float32 or better,
whatever the network ran in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat

from dsa_app.config import config

from ..network.two_stream import Outputs
from .distillation import TeachConfig, lessons
from .precision import precise


@config
class LossConfig:
    """Weights of the terms, which are summed; the values are the paper's (section 4.2).

    Attributes:
        id_f: identity, on f_G and on each of the eight f_L,i.
        id_z: identity, on z_G and z_L; also on the Baseline's only feature.
        triplet: on z_G and z_L; without a guide on f_G and f_L.
        triplet_f: on f_G and f_L beside those on z; the paper has none.
        margin: of the triplet loss, in units of the unnormalised features' Euclidean distance.
        smoothing: of the labels, in every identity term.
        metric: "triplet" is the paper's; "circle" puts the circle loss in its place, weighted by `circle`.
        circle_margin, circle_scale: m and γ of the circle loss.
        teach: what the main stream learns from the guide besides; the paper has nothing of it.
    """

    id_f: NonNegativeFloat = 0.5
    id_z: NonNegativeFloat = 1.0
    triplet: NonNegativeFloat = 1.5
    triplet_f: NonNegativeFloat = 0.0
    margin: NonNegativeFloat = 0.3
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    metric: Literal["triplet", "circle"] = "triplet"
    circle: NonNegativeFloat = 1.0
    circle_margin: float = Field(default=0.25, ge=0, lt=1)
    circle_scale: PositiveFloat = 64.0
    teach: TeachConfig = TeachConfig()


def terms(
    outputs: Outputs,
    labels: torch.Tensor,
    config: LossConfig,
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
) -> dict[str, torch.Tensor]:
    """Return the weighted terms of the loss by name, "id_f_global" or "triplet_z_local"; their sum is the loss.

    Thirteen for the full scheme. Without a guide the triplets fall on f; the Baseline (no guide, one feature)
    has its identity term weighted as z's, that feature being the one that is matched.

    Args:
        labels: int64 (B), identities numbered from 0.
        gather: joins what all processes of the run hold, for the terms over pairs of pictures.
    """
    guided = outputs.z_global is not None or outputs.z_local is not None
    baseline = not guided and outputs.f_local is None
    found = {}
    for name, logits in outputs.logits.items():
        weight = config.id_z if baseline or name.startswith("z") else config.id_f
        found[f"id_{name}"] = weight * cross_entropy(logits, labels, config.smoothing)
    weight = config.circle if config.metric == "circle" else config.triplet
    weights = dict.fromkeys(("z_global", "z_local") if guided else ("f_global", "f_local"), weight)
    if guided and config.triplet_f:
        weights |= dict.fromkeys(("f_global", "f_local"), config.triplet_f)
    for name, weight in weights.items():
        features = getattr(outputs, name)
        if features is not None:
            metric = _metric(gather(features.flatten(1)), gather(labels), config)
            found[f"{config.metric}_{name}"] = weight * metric
    return found | lessons(outputs, config.teach, gather)


def _metric(features: torch.Tensor, pids: torch.Tensor, config: LossConfig) -> torch.Tensor:
    if config.metric == "circle":
        return circle(features, pids, config.circle_margin, config.circle_scale)
    return batch_hard_triplet(features, pids, config.margin)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the mean cross entropy of logits (B, identities) against labels (B), smoothed over identities."""
    return F.cross_entropy(precise(logits), labels, label_smoothing=smoothing)


def batch_hard_triplet(features: torch.Tensor, pids: torch.Tensor, margin: float) -> torch.Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017, equation 5), a mean over anchors.

    Anchors without another picture of their identity, or without another identity, are left out; where none is
    left the loss is zero, still attached to the graph.

    Args:
        features: (B, D), unnormalised.
        pids: (B).
    """
    positive, negative = hardest(euclidean(precise(features)), pids)
    counted = (positive != -torch.inf) & (negative != torch.inf)  # what is not a number counts, and shows
    losses = F.relu(margin + positive - negative)
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)


def circle(features: torch.Tensor, pids: torch.Tensor, margin: float, scale: float) -> torch.Tensor:
    """Return the circle loss over pairs (Sun et al. 2020, equation 6), a mean over anchors.

    Anchors are left out, and an empty set is zero, as in `batch_hard_triplet`. The defaults of `LossConfig` are
    FastReID's (He et al. 2020).

    Args:
        features: (B, D); compared by the cosine.
        pids: (B).
        margin, scale: the paper's m and γ.
    """
    unit = F.normalize(precise(features))
    similarity = unit @ unit.T  # (B, B)
    same = pids[:, None] == pids[None, :]
    itself = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    positive = -scale * F.relu(1 + margin - similarity.detach()) * (similarity - (1 - margin))
    negative = scale * F.relu(similarity.detach() + margin) * (similarity - margin)
    least = torch.finfo(similarity.dtype).min  # not -inf, whose gradient in an empty row is not a number
    losses = F.softplus(
        positive.masked_fill(~same | itself, least).logsumexp(1) + negative.masked_fill(same, least).logsumexp(1)
    )
    counted = (same & ~itself).any(1) & ~same.all(1)
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)


def euclidean(features: torch.Tensor) -> torch.Tensor:
    """Return the distances (B, B) between features (B, D).

    Taken from differences, which is exact for near neighbours; the gradient at distance zero is zero.
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
