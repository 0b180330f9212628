"""How the guide acts on the main stream: the gradients that reach f from the losses on f, and from those on z."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..network.two_stream import Outputs


def influence(outputs: Outputs, losses: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Compare the gradients with respect to the main stream's features, all of a batch together.

    The losses on f ("id_f_global", "triplet_f_local", …) are the main stream's own; all others come by the guide:
    those on z, and what it teaches.

    Returns:
        "own" and "guided", Euclidean lengths of the two gradients, and "cosine" between them (0 where one is zero);
        empty without a guide, and where the features hang on the losses through nothing that can be followed.
    """
    if outputs.z_global is None and outputs.z_local is None:
        return {}
    features = [feature for feature in (outputs.f_global, outputs.f_local) if feature is not None]
    kinds = {"own": [], "guided": []}  # type: dict[str, list[torch.Tensor]]
    for name, loss in losses.items():
        kinds["own" if "_f_" in name else "guided"].append(loss)
    gradients = {}
    for kind, terms in kinds.items():
        total = torch.stack(terms).sum()
        found = torch.autograd.grad(total, features, retain_graph=True, allow_unused=True)
        parts = [
            torch.zeros_like(feature) if part is None else part for part, feature in zip(found, features, strict=True)
        ]
        gradients[kind] = torch.cat([part.flatten().double() for part in parts])
    own, guided = gradients["own"], gradients["guided"]
    lengths = own.norm() * guided.norm()
    cosine = float(own @ guided / lengths) if lengths else 0.0
    return {"own": float(own.norm()), "guided": float(guided.norm()), "cosine": cosine}
