"""The feature pyramid over the trunk (Lin et al., CVPR 2017): p2 .. p6, strides 4 .. 64, 256 channels each."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .trunk import WIDTHS, ResNet

CHANNELS = 256
STRIDES = (4, 8, 16, 32, 64)  # of p2 .. p6


class Pyramid(nn.Module):
    """Trunk, lateral 1×1 convolutions, top-down sums, 3×3 outputs."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.bottom_up = ResNet(depth)
        for level, width in enumerate(WIDTHS, start=2):
            self.add_module(f"fpn_lateral{level}", nn.Conv2d(width, CHANNELS, 1))
            self.add_module(f"fpn_output{level}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), H and W multiples of 32 -> p2 .. p6: (B, 256, H/s, W/s), s in `STRIDES`, rounded up."""
        trunk = self.bottom_up(x)
        maps: list[Tensor] = []
        above: Tensor | None = None
        for level in range(5, 1, -1):
            here = self.get_submodule(f"fpn_lateral{level}")(trunk[level - 2])
            above = here if above is None else here + F.interpolate(above, scale_factor=2.0, mode="nearest")
            maps.insert(0, self.get_submodule(f"fpn_output{level}")(above))
        return [*maps, maps[-1][:, :, ::2, ::2]]  # p6 is every second row and column of p5
