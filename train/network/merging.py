"""Which of the 24 charts belong together (section 3.2, Table 1): first left and right, then front and back.

DensePose numbers its charts so that partners are neighbours. In that order each merging is a few slices and an
addition.
"""

from __future__ import annotations

import torch


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
