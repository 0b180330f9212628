"""The identity classifiers (section 3.2.4), used in training only."""

from __future__ import annotations

from torch import nn


def classifier(inputs: int, hidden: int, identities: int) -> nn.Sequential:
    """Return two FC layers, batch norm and ReLU between them: (B, inputs) to logits (B, identities).

    The SoftMax is part of the cross entropy. The last layer starts near zero (a common choice in re-ID), so that
    training starts from equal probabilities.
    """
    first = nn.Linear(inputs, hidden, bias=False)  # batch norm has one
    last = nn.Linear(hidden, identities)
    nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
    nn.init.normal_(last.weight, std=0.001)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), last)
