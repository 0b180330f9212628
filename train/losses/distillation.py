"""What the main stream learns from the guide beside the paper's losses: the fused features as soft targets.

The paper lets gradients through the sum z = f + d alone. With a guide that satisfies the losses on z by itself little
of them reaches f; knowledge distillation asks f for what z, or d, knows. All terms are off by default. The teacher is
a constant of every term: the guide never learns to be easier to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat

from dsa_app.config import config

from ..network.two_stream import Outputs
from .precision import precise


@config
class TeachConfig:
    """Weights of the lessons, global to global and local to local; the mean of the eight local ones is taken.

    Attributes:
        teacher: whose features are the targets: the fused z, or the guide's own d.
        relations: of each picture's likeness to the others of the batch (Passalis and Tefas 2018, section 3, with the
            cosine as kernel).
        features: of the direction of the feature itself (Romero et al. 2015, FitNets, with the cosine).
        logits: of the teacher's identity logits (Hinton et al. 2015); z's alone, as d has no classifier.
        temperature: that likenesses are divided by.
        softness: T of the logits; the term is multiplied by T², as there.
    """

    teacher: Literal["z", "d"] = "z"
    relations: NonNegativeFloat = 0.0
    features: NonNegativeFloat = 0.0
    logits: NonNegativeFloat = 0.0
    temperature: PositiveFloat = 0.1
    softness: PositiveFloat = 4.0

    def __post_init__(self) -> None:
        """Check that the teacher has what is to be learnt."""
        if self.logits and self.teacher == "d":
            raise ValueError("logits are z's: the guide's own features have no classifier")


def lessons(
    outputs: Outputs,
    config: TeachConfig,
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
) -> dict[str, torch.Tensor]:
    """Return the weighted terms by name, as "relations_global"; none where there is no guide to learn from.

    Args:
        gather: joins what all processes of the run hold, for likenesses within the whole batch.
    """
    found = {}
    for head, student, teacher in _pairs(outputs, config.teacher):
        if config.relations:
            likeness = relations(gather(student), gather(teacher), config.temperature)
            found[f"relations_{head}"] = config.relations * likeness
        if config.features:
            found[f"features_{head}"] = config.features * direction(student, teacher)
        if config.logits:
            taught = [logits for name, logits in outputs.logits.items() if name.startswith(f"f_{head}")]
            target = outputs.logits[f"z_{head}"]
            terms = [soft_targets(logits, target, config.softness) for logits in taught]
            found[f"logits_{head}"] = config.logits * torch.stack(terms).mean()
    return found


def _pairs(outputs: Outputs, teacher: str) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return head, student and teacher, each (B, n, D): one global feature, eight local ones."""
    if outputs.d_global is None and outputs.d_local is None:
        return []
    found = []
    for head in ("global", "local"):
        student, target = getattr(outputs, f"f_{head}"), getattr(outputs, f"{teacher}_{head}")
        if student is not None:
            views = (feature.view(len(feature), -1, feature.shape[-1]) for feature in (student, target.detach()))
            found.append((head, *views))
    return found


def relations(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the divergence of the student's likenesses from the teacher's, a mean over anchors and features.

    An anchor's likenesses are the softmax over all other pictures of cosine / temperature; the divergence is
    Kullback and Leibler's, from the teacher's to the student's.

    Args:
        student, teacher: (B, n, D), n features that are compared each with its own kind.
    """
    if len(student) < 2:  # nobody to be like
        return student.sum() * 0
    ours = _log_likeness(student, temperature)  # (n, B, B - 1)
    target = _log_likeness(teacher.detach(), temperature)
    return F.kl_div(ours, target, reduction="none", log_target=True).sum(-1).mean()


def _log_likeness(features: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return each anchor's log-likeness to the others: (B, n, D) to (n, B, B - 1)."""
    unit = F.normalize(precise(features), dim=-1).transpose(0, 1)  # (n, B, D)
    cosine = unit @ unit.mT  # (n, B, B)
    n, B, _ = cosine.shape
    others = ~torch.eye(B, dtype=torch.bool, device=cosine.device)
    return (cosine[:, others].view(n, B, B - 1) / temperature).log_softmax(-1)


def direction(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return one minus the cosine between features (B, n, D), a mean over pictures and features."""
    return (1 - F.cosine_similarity(precise(student), precise(teacher.detach()), dim=-1)).mean()


def soft_targets(logits: torch.Tensor, target: torch.Tensor, softness: float) -> torch.Tensor:
    """Return T² times the divergence of softmax(logits / T) from softmax(target / T), (B, identities) each."""
    ours, theirs = ((precise(each) / softness).log_softmax(-1) for each in (logits, target.detach()))
    return softness**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
