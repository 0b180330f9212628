"""The densely semantically aligned stream (DSAG) of section 3.2 and Table 1: it guides training and is not deployed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from dsa_reid.config import REGIONS
from dsa_reid.main_stream import Features, pooled
from dsa_reid.pooling import GeneralisedMean, average
from dsa_reid.residual import BasicBlock, initialise, stage

from .branches import GroupedBranches, LoopBranches


class GuideStream(nn.Module):
    """Part images to d_G and d_L, which have the shapes of the main stream's f_G and f_L.

    Attributes:
        run_branches: called in place of the branches, as `performance.Recomputed`; None to call them directly.

    Args:
        channels: c_A, of the main stream's F; a branch has 1/8 of them after conv4_x.
        feature_width: G, the dimensions of d_G, and of the eight d_L together.
        heads: global, local or both, as in the main stream.
        branches: how the 24 branches are computed.
        pooling: as the main stream's, so that features of one kind are added.
        local_width: dimensions of the eight d_L together; G if None.
    """

    def __init__(
        self,
        channels: int,
        feature_width: int,
        heads: Literal["both", "global", "local"] = "both",
        branches: Literal["grouped", "loop"] = "grouped",
        pooling: Literal["average", "gem"] = "average",
        local_width: int | None = None,
    ) -> None:
        super().__init__()
        width = channels // REGIONS
        self.branches = GroupedBranches(width) if branches == "grouped" else LoopBranches(width)
        self.run_branches: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.global_head: nn.Sequential | None = None  # conv5_g
        self.local_head: nn.Sequential | None = None  # conv5_l
        if heads != "local":
            self.global_head = stage(BasicBlock, channels, feature_width, depth=2)
        if heads != "global":
            self.local_head = stage(BasicBlock, channels, local_width or feature_width, depth=2, groups=REGIONS)
        self.pool = GeneralisedMean() if pooling == "gem" else None
        initialise(self)

    def forward(self, parts: torch.Tensor) -> Features:
        """Map normalised part images, float (B, 24, 3, S, S), to d_G (B, G) and d_L (B, 8, G/8)."""
        maps = (self.run_branches or self.branches)(parts)  # (B, c_A, S/4, S/4)
        return pooled(maps, self.global_head, self.local_head, self.pool or average)
