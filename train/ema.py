"""A moving average of the weights beside the ones that are trained; it is the average that is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """The exponential moving average of a network's weights and batch norm statistics (Tarvainen and Valpola 2017).

    Args:
        decay: what is kept of the average at a step; 0.999 averages over about a thousand.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step's weights into the average; what is counted, not measured, is copied."""
        for name, value in network.state_dict().items():
            mean = self.weights[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self.decay)
            else:
                mean.copy_(value)

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Go back to the average of a checkpoint, on whatever device the network is."""
        for name, value in weights.items():
            self.weights[name].copy_(value)

    @contextmanager
    def used(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights for as long as the context lasts."""
        trained = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(trained)
