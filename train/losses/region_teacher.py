"""Region teacher: the local maps pooled by the labels of their regions teach the features pooled over the whole image.

Teacher and student are means of the same maps, after MPN (Ding et al. 2020), which has stripes in place of regions: no
parameter but the teacher's classifiers can lower these losses without changing the deployed network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..network.two_stream import Outputs
from .config import LossConfig
from .identity import identity_loss
from .precision import at_least_float32
from .triplet import batch_hard_triplet


def region_teacher_terms(
    outputs: Outputs,
    labels: torch.Tensor,
    config: LossConfig,
    gather: Callable[[torch.Tensor], torch.Tensor] = lambda own: own,
    classifier: str = "hidden",
) -> dict[str, torch.Tensor]:
    """Return the weighted terms by name: identity on each t_L,i, triplet on t_L, alignment; none without a teacher.

    Args:
        labels: int64 (B), identities numbered from 0.
        gather: joins the tensors of all processes of the run, for the triplets.
        classifier: of `NetworkConfig.classifier`.
    """
    t, f, seen = outputs.t_local, outputs.f_local, outputs.seen
    if t is None or f is None or seen is None:
        return {}
    terms = {}
    for region, shown in enumerate(seen.unbind(1)):
        logits = outputs.logits[f"t_local_{region}"]
        loss = identity_loss(logits[shown], labels[shown], config, classifier) if shown.any() else logits.sum() * 0
        terms[f"id_t_local_{region}"] = config.id_f * loss
    triplet = batch_hard_triplet(gather(t.flatten(1)), gather(labels), config.triplet_margin)
    terms["triplet_t_local"] = config.triplet * triplet
    terms["align_t_local"] = config.region_teacher * alignment(f, t, seen, labels)
    return terms


def alignment(f: torch.Tensor, t: torch.Tensor, seen: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return one minus the cosine between f_L,i and the mean t_L,i of the identity's images, a mean over both.

    The teacher is detached. Regions that no image of the identity shows are left out.

    Args:
        f, t: (B, 8, L).
        seen: bool (B, 8), which regions an image's labels show.
        labels: (B).
    """
    f, t = at_least_float32(f), at_least_float32(t.detach())
    same = (labels[:, None] == labels).to(t.dtype)  # (B, B)
    shown = seen.to(t.dtype)
    # The sum over the identity's images that show the region; its direction is that of the mean.
    mean = torch.einsum("bc,cr,crd->brd", same, shown, t)
    known = (same @ shown) > 0  # (B, 8)
    losses = (1 - F.cosine_similarity(f, mean, dim=2)) * known
    return losses.sum() / known.sum().clamp(min=1)
