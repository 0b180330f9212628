"""The identity classifiers (section 3.2.4), used in training only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import Classifier

SMALL, COSINE = 0.001, 0.01  # deviation of a classifier's initial weights; ArcFace's authors' for cosines


class Cosines(nn.Module):
    """The cosines between a feature and the direction of each identity, in float32 or better.

    The logits of circle, ArcFace and CosFace are made of them with the labels (`losses.margin`).
    """

    def __init__(self, inputs: int, identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(identities, inputs))
        nn.init.normal_(self.weight, std=COSINE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs) to cosines (B, identities)."""
        device = "cpu" if features.is_meta else features.device.type  # the meta device, for `summary`, has no autocast
        with torch.autocast(device, enabled=False):  # bfloat16 has three digits, which scales of 64 show
            x = features.to(torch.promote_types(features.dtype, torch.float32))
            return F.linear(F.normalize(x), F.normalize(self.weight))


def classifier(inputs: int, hidden: int, identities: int, kind: Classifier = "hidden") -> nn.Module:
    """Return a classifier of features (B, inputs) into identities.

    Args:
        kind: "hidden" is the paper's, two FC layers with batch norm and ReLU between them, to logits; "linear" one FC
            layer without bias, to logits (Luo et al. 2019, section 3.5); the others give cosines.
        hidden: channels between the two layers.

    The SoftMax is part of the cross entropy. The last layer of logits starts near zero (a common choice in re-ID), so
    that training starts from equal probabilities.
    """
    if kind == "linear":
        only = nn.Linear(inputs, identities, bias=False)
        nn.init.normal_(only.weight, std=SMALL)
        return only
    if kind != "hidden":
        return Cosines(inputs, identities)
    first = nn.Linear(inputs, hidden, bias=False)  # batch norm has one
    last = nn.Linear(hidden, identities)
    nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
    nn.init.normal_(last.weight, std=SMALL)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), last)
