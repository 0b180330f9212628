"""One implementation of training, step by step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch

from dsa_train.config import TrainConfig
from dsa_train.loop import Run
from dsa_train.losses.terms import loss_terms, total_loss
from dsa_train.network.two_stream import Outputs, TwoStream
from dsa_train.torch_setup import autocast

Batch = tuple[torch.Tensor, ...]  # images, parts, labels


class Side:
    """One implementation of training, step by step.

    Args:
        network: on its device.
        batches: of images, parts and labels, without end.
        ours: use the trainer's switches and optimiser.
    """

    def __init__(self, network: TwoStream, config: TrainConfig, batches: Iterator[Batch], ours: bool) -> None:
        self.network, self.config, self.batches = network.train(), config, batches
        self.device = next(network.parameters()).device
        run = Run(network, config) if ours else None
        self.optimiser = run.optimiser if run else torch.optim.Adam(network.parameters(), lr=1e-5)
        self.graphed = None
        if run and config.speed.cuda_graph:
            run.start_epoch()
            self.graphed = run.graphed

    def step(self, batch: Batch | None = None) -> None:
        """Take one step with a batch, or with the next one, which is then read."""
        images, parts, labels = batch or next(self.batches)
        if self.graphed is not None:
            self.graphed(images, labels, parts)
            return
        outputs = self.forward(images, parts)
        self.optimiser.zero_grad()
        total_loss(loss_terms(outputs, labels, self.config.losses)).backward()
        self.optimiser.step()

    def repeat(self, batch: Batch) -> Callable[[], None]:
        """Return a job that takes a step with the same batch each time; no more batches are read."""
        self.batches = iter(())
        return functools.partial(self.step, batch)

    def forward(self, images: torch.Tensor, parts: torch.Tensor) -> Outputs:
        """Compute the network's outputs in the configured precision."""
        with autocast(self.device, self.config.precision):
            return self.network(images, parts)
