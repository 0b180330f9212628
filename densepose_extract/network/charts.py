"""The DensePose head: for each detected person, the chart and the coordinates u, v on it at every pixel of the box.

The models "with confidence" (WC) also state the variances of u and v; those named M also how sure their labels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsa_data.charts import CHARTS

from .pyramid import CHANNELS

SIZE = 28  # of a pooled region
LAYERS = 8
WIDTH = 512
HEATMAP = 112  # rows and columns of the predictor's output
LEAST_SCALE = 0.01  # SEGM_CONFIDENCE.EPSILON of all published models
Variances = Literal["none", "equal", "correlated"]
"""Of u and v: none are stated, one for both (WC1, detectron2's "iid_iso"), or a covariance (WC2, "indep_aniso")."""


@dataclass(frozen=True)
class Surface:
    """The raw heads of D boxes, float32 on the network's device.

    Attributes:
        coarse_segm: (D, 2, 112, 112): background, body.
        fine_segm: (D, 25, 112, 112): background and the 24 charts.
        u, v: (D, 25, 112, 112): trained to lie in [0, 1], not clamped.
        sigma_2: (D, 25, 112, 112), raw variance of u and v (`engines.uv_probability`); None if the model has none.
        kappa_u, kappa_v: the same for their correlated part.
    """

    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor
    sigma_2: Tensor | None = None
    kappa_u: Tensor | None = None
    kappa_v: Tensor | None = None

    @classmethod
    def empty(cls, device: torch.device) -> Surface:
        """Return the heads of zero boxes."""
        heads = (torch.zeros((0, c, HEATMAP, HEATMAP), device=device) for c in (2, *[CHARTS + 1] * 3))
        return cls(*heads)

    def __getitem__(self, index: slice) -> Surface:
        stated = (x if x is None else x[index] for x in (self.sigma_2, self.kappa_u, self.kappa_v))
        return Surface(self.coarse_segm[index], self.fine_segm[index], self.u[index], self.v[index], *stated)


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
    """A transposed convolution for each head, 28 -> 56, and a bilinear doubling, 56 -> 112."""

    def __init__(self, variances: Variances = "none", scaled_labels: bool = False) -> None:
        super().__init__()
        self.ann_index_lowres = deconvolution(2)
        self.index_uv_lowres = deconvolution(CHARTS + 1)
        self.u_lowres = deconvolution(CHARTS + 1)
        self.v_lowres = deconvolution(CHARTS + 1)
        if variances != "none":
            self.sigma_2_lowres = deconvolution(CHARTS + 1)
        if variances == "correlated":
            self.kappa_u_lowres = deconvolution(CHARTS + 1)
            self.kappa_v_lowres = deconvolution(CHARTS + 1)
        if scaled_labels:
            self.fine_segm_confidence_lowres = deconvolution(1)
            self.coarse_segm_confidence_lowres = deconvolution(1)

    def forward(self, x: Tensor) -> Surface:
        """(D, 512, 28, 28) -> the heads, (D, …, 112, 112), float32."""
        return Surface(
            coarse_segm=self._scaled("coarse_segm", double(self.ann_index_lowres(x)), x),
            fine_segm=self._scaled("fine_segm", double(self.index_uv_lowres(x)), x),
            u=double(self.u_lowres(x)),
            v=double(self.v_lowres(x)),
            sigma_2=self._stated("sigma_2", x),
            kappa_u=self._stated("kappa_u", x),
            kappa_v=self._stated("kappa_v", x),
        )

    def _stated(self, head: str, x: Tensor) -> Tensor | None:
        """Return a head (D, 25, 112, 112) that only some models have, or None."""
        layer = getattr(self, f"{head}_lowres", None)
        return None if layer is None else double(layer(x))

    def _scaled(self, head: str, logits: Tensor, x: Tensor) -> Tensor:
        """Return logits (D, C, 112, 112) times the model's own confidence in them, if it states one."""
        stated = self._stated(f"{head}_confidence", x)  # (D, 1, 112, 112)
        return logits if stated is None else logits * (F.softplus(stated) + LEAST_SCALE)


def deconvolution(outputs: int) -> nn.ConvTranspose2d:
    """Return the layer of one head: 28 -> 56."""
    return nn.ConvTranspose2d(WIDTH, outputs, 4, stride=2, padding=1)


def double(x: Tensor) -> Tensor:
    """Double rows and columns bilinearly, in float32: labels are compared on the result."""
    return F.interpolate(x.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
