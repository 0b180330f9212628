"""Which of the 24 charts belong together (section 3.1): first left and right, then front and back.

DensePose numbers its charts so that partners are neighbours. Side by side in that order, each merging is a few
slices and an add.
"""

from __future__ import annotations

import torch

CHARTS = 24

PAIRS: tuple[tuple[int, ...], ...] = (
    (1,),
    (2,),
    *((chart, chart + 1) for chart in range(3, 24, 2)),
)
"""Charts, from 1, that the first merging adds: 24 -> 13. The torso's back and front have no partner."""

BODY_REGIONS: dict[str, tuple[int, ...]] = {
    "torso": (1, 2),
    "hands": (3, 4),
    "feet": (5, 6),
    "upper legs": (7, 8, 9, 10),
    "lower legs": (11, 12, 13, 14),
    "upper arms": (15, 16, 17, 18),
    "lower arms": (19, 20, 21, 22),
    "head": (23, 24),
}
"""Charts, from 1, behind each of the 8 maps that the second merging leaves, in the order of f_L and d_L."""


def merge_pairs(charts: torch.Tensor) -> torch.Tensor:
    """Add up `PAIRS`: maps of the charts (B, 24, C, h, w) to (B, 13, C, h, w)."""
    return torch.cat([charts[:, :2], charts[:, 2::2] + charts[:, 3::2]], dim=1)


def merge_regions(pairs: torch.Tensor) -> torch.Tensor:
    """Add up `BODY_REGIONS`: maps of the pairs (B, 13, C, h, w) to (B, 8, C, h, w)."""
    torso = pairs[:, 0:1] + pairs[:, 1:2]
    hands_feet = pairs[:, 2:4]
    limbs = pairs[:, 4:12:2] + pairs[:, 5:12:2]
    head = pairs[:, 12:]
    return torch.cat([torso, hands_feet, limbs, head], dim=1)
