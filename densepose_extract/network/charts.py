"""The DensePose head: for each detected person, the chart and the coordinates u, v on it at every pixel of the box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsa_data.charts import CHARTS

from .pyramid import CHANNELS

SIZE = 28  # of a pooled region
LAYERS = 8
WIDTH = 512
HEATMAP = 112  # rows and columns of the predictor's output


@dataclass(frozen=True)
class Surface:
    """The raw heads of D boxes, float32 on the network's device.

    Attributes:
        coarse_segm: (D, 2, 112, 112): background, body.
        fine_segm: (D, 25, 112, 112): background and the 24 charts.
        u, v: (D, 25, 112, 112): trained to lie in [0, 1], not clamped.
    """

    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor

    @classmethod
    def empty(cls, device: torch.device) -> Surface:
        """Return the heads of zero boxes."""
        heads = (torch.zeros((0, c, HEATMAP, HEATMAP), device=device) for c in (2, *[CHARTS + 1] * 3))
        return cls(*heads)

    def __getitem__(self, index: slice) -> Surface:
        return Surface(self.coarse_segm[index], self.fine_segm[index], self.u[index], self.v[index])


class ChartHead(nn.Module):
    """Eight 3×3 convolutions with ReLU: the head of the s1x models."""

    def __init__(self) -> None:
        super().__init__()
        for layer in range(LAYERS):
            conv = nn.Conv2d(CHANNELS if layer == 0 else WIDTH, WIDTH, 3, padding=1)
            self.add_module(f"body_conv_fcn{layer + 1}", conv)

    def forward(self, x: Tensor) -> Tensor:
        """(D, 256, 28, 28) -> (D, 512, 28, 28)."""
        for conv in self.children():
            x = F.relu(conv(x))
        return x


class ChartPredictor(nn.Module):
    """Four transposed convolutions, 28 -> 56, and a bilinear doubling, 56 -> 112."""

    def __init__(self) -> None:
        super().__init__()
        self.ann_index_lowres = nn.ConvTranspose2d(WIDTH, 2, 4, stride=2, padding=1)
        self.index_uv_lowres = nn.ConvTranspose2d(WIDTH, CHARTS + 1, 4, stride=2, padding=1)
        self.u_lowres = nn.ConvTranspose2d(WIDTH, CHARTS + 1, 4, stride=2, padding=1)
        self.v_lowres = nn.ConvTranspose2d(WIDTH, CHARTS + 1, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Surface:
        """(D, 512, 28, 28) -> the heads, (D, …, 112, 112), float32."""
        return Surface(
            coarse_segm=double(self.ann_index_lowres(x)),
            fine_segm=double(self.index_uv_lowres(x)),
            u=double(self.u_lowres(x)),
            v=double(self.v_lowres(x)),
        )


def double(x: Tensor) -> Tensor:
    """Double rows and columns bilinearly, in float32: labels are compared on the result."""
    return F.interpolate(x.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
