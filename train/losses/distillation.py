"""Distillation from the guide to the main stream: the fused features as soft targets; not in the paper, off by default.

In the paper the guide acts on the main stream through the gradients of the sum z = f + d alone. A guide that satisfies
the losses on z on its own leaves f little gradient; knowledge distillation asks f directly for what z, or d, has
learnt. The teacher is detached in every term, so the guide is not trained to be easier to imitate.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..network.two_stream import Outputs
from .config import DistillationConfig
from .precision import at_least_float32


def distillation_terms(
    outputs: Outputs,
    config: DistillationConfig,
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
) -> dict[str, torch.Tensor]:
    """Return the weighted terms by name, as "relations_global"; none without a guide to learn from.

    Args:
        gather: joins the tensors of all processes of the run, for similarities within the whole batch.
    """
    terms = {}
    for head, student, teacher in _student_and_teacher(outputs, config.teacher):
        if config.relations:
            loss = relations(gather(student), gather(teacher), config.temperature)
            terms[f"relations_{head}"] = config.relations * loss
        if config.features:
            terms[f"features_{head}"] = config.features * direction(student, teacher)
        if config.logits:
            prefix = f"f_{head}" if outputs.pieces is None else "f_"  # pieces are all of the global feature
            students = [logits for name, logits in outputs.logits.items() if name.startswith(prefix)]
            target = outputs.logits[f"z_{head}"]
            losses = [soft_targets(logits, target, config.softness) for logits in students]
            terms[f"logits_{head}"] = config.logits * torch.stack(losses).mean()
    return terms


def _student_and_teacher(outputs: Outputs, teacher: str) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return head, student and teacher, each (B, n, D): one global feature, eight local ones."""
    if outputs.d_global is None and outputs.d_local is None:
        return []
    pairs = []
    for head in ("global", "local"):
        student, target = getattr(outputs, f"f_{head}"), getattr(outputs, f"{teacher}_{head}")
        if student is not None:
            student, target = (
                feature.view(len(feature), -1, feature.shape[-1]) for feature in (student, target.detach())
            )  # (B, G) -> (B, 1, G); (B, 8, G/8) stays
            pairs.append((head, student, target))
    return pairs


def relations(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the divergence of the student's similarities from the teacher's, a mean over anchors and features.

    An anchor's similarities are the softmax over all other images of cosine / temperature; the divergence is Kullback
    and Leibler's, from the teacher's to the student's.

    Args:
        student, teacher: (B, n, D), n features that are compared each with its own kind.
    """
    if len(student) < 2:  # no other image to compare with
        return student.sum() * 0
    ours = _log_similarity(student, temperature)  # (n, B, B - 1)
    target = _log_similarity(teacher.detach(), temperature)
    return F.kl_div(ours, target, reduction="none", log_target=True).sum(-1).mean()


def _log_similarity(features: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the logarithm of each anchor's similarities to the others: (B, n, D) to (n, B, B - 1)."""
    unit = F.normalize(at_least_float32(features), dim=-1).transpose(0, 1)  # (n, B, D)
    cosine = unit @ unit.mT  # (n, B, B)
    n, B, _ = cosine.shape
    others = ~torch.eye(B, dtype=torch.bool, device=cosine.device)
    return (cosine[:, others].view(n, B, B - 1) / temperature).log_softmax(-1)


def direction(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return one minus the cosine between features (B, n, D), a mean over images and features."""
    return (1 - F.cosine_similarity(at_least_float32(student), at_least_float32(teacher.detach()), dim=-1)).mean()


def soft_targets(logits: torch.Tensor, target: torch.Tensor, softness: float) -> torch.Tensor:
    """Return T² times the divergence of softmax(logits / T) from softmax(target / T), (B, identities) each."""
    ours, theirs = ((at_least_float32(each) / softness).log_softmax(-1) for each in (logits, target.detach()))
    return softness**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
