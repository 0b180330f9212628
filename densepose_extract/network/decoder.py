"""The decoder: p2 .. p5 joined in one map of stride 4 (panoptic feature pyramid, Kirillov et al., CVPR 2019)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .pyramid import CHANNELS


class Decoder(nn.Module):
    """3×3 convolutions with ReLU, each followed by a doubling until stride 4 is reached; then a sum."""

    def __init__(self) -> None:
        super().__init__()
        for level in range(2, 6):
            steps: list[nn.Module] = []
            for _ in range(max(1, level - 2)):
                steps.append(ConvReLU(CHANNELS, CHANNELS, 3, padding=1))
                if level > 2:
                    steps.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.add_module(f"p{level}", nn.Sequential(*steps))
        self.predictor = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """p2 .. p5, each (B, 256, h, w) -> (B, 256, H/4, W/4)."""
        x = self.get_submodule("p2")(maps[0])
        for level in range(3, 6):
            x = x + self.get_submodule(f"p{level}")(maps[level - 2])
        joined: Tensor = self.predictor(x)
        return joined


class ConvReLU(nn.Conv2d):
    """A convolution with the ReLU after it, which together are one entry in the numbering of the state dict."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape, not negative."""
        return F.relu(super().forward(x))
