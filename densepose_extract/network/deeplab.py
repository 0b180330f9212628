"""The head of the DL models: DeepLabV3's parallel dilated convolutions (Chen et al., 2017) before the eight."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .charts import LAYERS, WIDTH
from .pyramid import CHANNELS

DILATIONS = (6, 12, 56)
GROUPS = 32


class Pooled(nn.Sequential):
    """The average over the whole region, repeated at every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(D, 256, h, w) -> (D, 256, h, w), constant over h and w."""
        average = x
        for layer in self:
            average = layer(average)  # (D, 256, 1, 1)
        return average.expand(-1, -1, *x.shape[-2:])


def normed(conv: nn.Conv2d) -> list[nn.Module]:
    """Return a convolution with the group norm and ReLU after it."""
    return [conv, nn.GroupNorm(GROUPS, conv.out_channels), nn.ReLU()]


class DilatedPyramid(nn.Module):
    """A 1×1, three dilated 3×3 and a pooled branch side by side, joined by a 1×1."""

    def __init__(self) -> None:
        super().__init__()
        dilated = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=d, dilation=d, bias=False) for d in DILATIONS)
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*normed(nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False))),
                *(nn.Sequential(*normed(conv)) for conv in dilated),
                Pooled(nn.AdaptiveAvgPool2d(1), *normed(nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False))),
            ]
        )
        self.project = nn.Sequential(nn.Conv2d(5 * CHANNELS, CHANNELS, 1, bias=False), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(D, 256, 28, 28) -> (D, 256, 28, 28)."""
        joined: Tensor = self.project(torch.cat([conv(x) for conv in self.convs], dim=1))
        return joined


class GroupConv(nn.Conv2d):
    """A 3×3 convolution without bias, its group norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(D, inputs, 28, 28) -> (D, outputs, 28, 28)."""
        return F.relu(self.norm(super().forward(x)))


class DeepLabHead(nn.Module):
    """The dilated pyramid, then eight 3×3 convolutions with group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.ASPP = DilatedPyramid()
        for layer in range(LAYERS):
            self.add_module(f"body_conv_fcn{layer + 1}", GroupConv(CHANNELS if layer == 0 else WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """(D, 256, 28, 28) -> (D, 512, 28, 28)."""
        for layer in self.children():
            x = layer(x)
        return x
