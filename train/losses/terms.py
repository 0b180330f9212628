"""Which loss terms a batch has, and their weights: thirteen in the paper's full scheme (section 3.2.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from dsa_reid.region_pooling import in_cells

from ..network.config import RegionConfig
from ..network.two_stream import Outputs
from .centre import centre_loss
from .circle import circle_loss
from .config import LossConfig
from .distillation import distillation_terms
from .identity import identity_loss
from .region_teacher import region_teacher_terms
from .regions import region_loss
from .triplet import batch_hard_triplet, region_triplet


def loss_terms(
    outputs: Outputs,
    labels: torch.Tensor,
    config: LossConfig,
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
    classifier: str = "hidden",
) -> dict[str, torch.Tensor]:
    """Return the weighted loss terms by name, as "id_f_global" or "triplet_z_local"; `total_loss` is their sum.

    Thirteen for the full scheme: nine identity terms on f, two on z, two triplets on z. Without a guide the triplets
    are on f; the Baseline (no guide, one feature) has its identity term weighted as z's, that feature being the one
    that is matched.

    Args:
        labels: int64 (B), identities numbered from 0.
        gather: joins the tensors of all processes of the run, for the terms over pairs of images.
        classifier: of `NetworkConfig.classifier`.
    """
    guided = outputs.z_global is not None or outputs.z_local is not None
    return {
        **_identity_terms(outputs, labels, config, guided, classifier),
        **_metric_terms(outputs, labels, config, guided, gather),
        **distillation_terms(outputs, config.teach, gather),
        **region_teacher_terms(outputs, labels, config, gather, classifier),
        **_centre_terms(outputs, labels, config),
    }


def region_terms(outputs: Outputs, shares: torch.Tensor | None, config: RegionConfig) -> dict[str, torch.Tensor]:
    """Return the weighted loss of each region head by name, as "regions_16"; none without labels.

    Args:
        shares: of the labels, by pixel, (B, 9, H, W), see `label_shares`.
    """
    if shares is None or outputs.regions is None:
        return {}
    return {
        f"regions_{level}": config.weight
        * region_loss(logits, in_cells(shares, (logits.shape[2], logits.shape[3])), config.smoothing)
        for level, logits in outputs.regions.items()
    }


def total_loss(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss: the sum of the weighted terms."""
    return torch.stack(list(terms.values())).sum()


def _identity_terms(
    outputs: Outputs, labels: torch.Tensor, config: LossConfig, guided: bool, classifier: str
) -> dict[str, torch.Tensor]:
    """Return an identity term for each feature that has a classifier: f_G, f_L,1 … f_L,8, z_G, z_L."""
    baseline = not guided and outputs.f_local is None and outputs.pieces is None
    terms = {}
    for name, logits in outputs.logits.items():
        if name.startswith("t_"):  # the region teacher's, see `region_teacher`
            continue
        weight = config.id_z if baseline or name.startswith("z") else config.id_f
        terms[f"id_{name}"] = weight * identity_loss(logits, labels, config, classifier)
    return terms


def _metric_terms(
    outputs: Outputs,
    labels: torch.Tensor,
    config: LossConfig,
    guided: bool,
    gather: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Return the terms over pairs of images: triplet, or circle, on each of the features that have one."""
    weight = config.circle if config.metric == "circle" else config.triplet
    weights = dict.fromkeys(("z_global", "z_local") if guided else ("f_global", "f_local"), weight)
    if guided and config.triplet_f:
        weights |= dict.fromkeys(("f_global", "f_local"), config.triplet_f)
    terms = {}
    for name, weight, features in _compared(outputs, weights):
        if features is None or (config.triplet_heads == "local" and features.ndim == 2):
            continue
        # Hard positives and negatives are searched in the whole batch, also where several processes share it.
        if features.ndim == 3 and config.local_distance == "regions":
            visibility = outputs.visibility
            seen = torch.ones_like(features[:, :, 0]) if visibility is None else visibility.detach()
            loss = region_triplet(gather(features), gather(seen), gather(labels), config.triplet_margin)
        else:
            # The eight local features are compared as one: (B, 8, G/8) -> (B, G).
            loss = _metric_loss(gather(features.flatten(1)), gather(labels), config)
        terms[f"{config.metric}_{name}"] = weight * loss
    return terms


def _compared(outputs: Outputs, weights: dict[str, float]) -> Iterator[tuple[str, float, torch.Tensor | None]]:
    """Yield the features that have a triplet, with name and weight: the compared pieces of f_G in its place."""
    for name, weight in weights.items():
        if name == "f_global" and outputs.pieces is not None:
            yield from ((f"f_{piece}", weight, own) for piece, own in outputs.pieces.compared.items())
        else:
            yield name, weight, getattr(outputs, name)


def _centre_terms(outputs: Outputs, labels: torch.Tensor, config: LossConfig) -> dict[str, torch.Tensor]:
    """Return the centre loss of each feature that has centres; the eight local features have theirs as one."""
    return {
        f"centre_{name}": config.centre * centre_loss(getattr(outputs, name).flatten(1), labels, centres)
        for name, centres in (outputs.centres or {}).items()
    }


def _metric_loss(features: torch.Tensor, pids: torch.Tensor, config: LossConfig) -> torch.Tensor:
    if config.metric == "circle":
        return circle_loss(features, pids, config.circle_margin, config.circle_scale)
    return batch_hard_triplet(features, pids, config.triplet_margin)
