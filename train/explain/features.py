"""The features of a main stream one by one, with their names, and by how much an image's change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from dsa_data.charts import BODY_REGIONS
from dsa_reid.main_stream import Features
from dsa_reid.pooling import SMALLEST

Network = Callable[[torch.Tensor], Features]
"""Maps normalised images, float (B, 3, H, W), to their features: a `MainStream`, or anything with the same result."""

GLOBAL = "global"


def feature_names(heads: str) -> list[str]:
    """Return the names of a network's features, F of them: "global", then the region that guides each local one."""
    return [GLOBAL] * (heads != "local") + list(BODY_REGIONS) * (heads != "global")


def symbol(name: str) -> str:
    """Return the paper's symbol of a feature: f_G, f_L,0 to f_L,7."""
    return "f_G" if name == GLOBAL else f"f_L,{list(BODY_REGIONS).index(name)}"


def split(f: Features) -> list[torch.Tensor]:
    """Return the features that a network has, in the order of `feature_names`: f_G (B, G), each f_L,i (B, L)."""
    whole = [] if f.global_ is None else [f.global_]
    return whole + ([] if f.local is None else list(f.local.unbind(1)))


def change(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return 1 - cos between features before and after: 0 for no change, 1 for a right angle.

    Exactly 0 where all numbers are equal, also for a feature that is 0.

    Args:
        before: F features, float (B, D) or (1, D) each.
        after: F features, float (B, D) each.

    Returns float64 (B, F).
    """
    changes = []
    for one, other in zip(before, after, strict=True):
        difference = 1 - F.cosine_similarity(one.double(), other.double())  # (B,)
        changes.append(difference.masked_fill((one == other).all(1), 0))
    return torch.stack(changes, dim=1).clamp(min=0)


def change_between_people(features: Sequence[torch.Tensor], pids: Sequence[int]) -> torch.Tensor:
    """Return the mean of 1 - cos over all pairs of images of two people: the scale on which a change is large or small.

    Args:
        features: F features of N images, float (N, D) each.
        pids: N identities, of at least two people.

    Returns float64 (F,), above 0, so that it can be divided by: for a feature that is the same for all it is tiny.
    """
    identity = torch.as_tensor(pids)
    different = identity[:, None] != identity  # (N, N)
    assert different.any(), "at least two people"
    directions = [F.normalize(one.double()).cpu() for one in features]
    return torch.stack([(1 - one @ one.T)[different].mean() for one in directions]).clamp(min=SMALLEST)
