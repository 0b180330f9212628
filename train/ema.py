"""A moving average of the weights beside those that are trained; the average is evaluated and saved as the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


class AveragedWeights:
    """The exponential moving average of a network's weights and batch norm statistics (Tarvainen and Valpola 2017).

    Args:
        decay: the share of the average that a step keeps; 0.999 averages over about a thousand steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add one step's weights to the average; integers, as counts of batches, are copied."""
        for name, value in network.state_dict().items():
            mean = self.weights[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self.decay)
            else:
                mean.copy_(value)

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Load the average of a checkpoint, on whatever device the network is."""
        for name, value in weights.items():
            self.weights[name].copy_(value)

    @contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """Load the averaged weights into the network, and the trained ones again when the context ends."""
        trained = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(trained)
