"""How the guide acts on the main stream: the gradients that reach f from the losses on f, and from those on z."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..network.two_stream import Outputs


def compare_gradients(outputs: Outputs, losses: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Compare two gradients with respect to the main stream's features f_G and f_L, all of a batch together.

    If f_G is joined of pieces, the gradients are with respect to these, before their reduction.

    The losses on f ("id_f_global", "triplet_f_local", …), and those on its maps, t of a region teacher and its regions,
    are the main stream's own; all others come through the guide:
    those on z, and distillation. The graph of the losses is kept.

    Returns:
        "own" and "guided", Euclidean lengths of the two gradients, and "cosine" between them (0 where one is zero);
        empty without a guide, and where f needs no gradient, since all below it is frozen.
    """
    if outputs.z_global is None and outputs.z_local is None:
        return {}
    whole = (outputs.f_global,) if outputs.pieces is None else outputs.pieces.pooled
    features = [feature for feature in (*whole, outputs.f_local) if feature is not None and feature.requires_grad]
    if not features:
        return {}
    own = _gradient([loss for name, loss in losses.items() if _own(name)], features)
    guided = _gradient([loss for name, loss in losses.items() if not _own(name)], features)
    lengths = own.norm() * guided.norm()
    cosine = float(own @ guided / lengths) if lengths else 0.0
    return {"own": float(own.norm()), "guided": float(guided.norm()), "cosine": cosine}


def _own(name: str) -> bool:
    return "_f_" in name or "_t_" in name or name.startswith("regions_")


def _gradient(losses: list[torch.Tensor], features: list[torch.Tensor]) -> torch.Tensor:
    """Return the gradient of the sum of `losses` with respect to all `features`, float64, as one vector."""
    total = torch.stack(losses).sum()
    none = [None] * len(features)
    gradients = (
        torch.autograd.grad(total, features, retain_graph=True, allow_unused=True) if total.requires_grad else none
    )
    parts = [
        torch.zeros_like(feature) if gradient is None else gradient
        for gradient, feature in zip(gradients, features, strict=True)
    ]
    return torch.cat([part.flatten().double() for part in parts])
