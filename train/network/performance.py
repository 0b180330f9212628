"""Switches that make a step faster or smaller, and change its numbers by rounding at most.

Which of them are on by default, and what each measured, is in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dsa_app.config import config

from .branches import LoopBranches
from .two_stream import TwoStream

NARROW = 32  # channels of a branch below which a loop of branches is slower with its channels innermost


@config
class SpeedConfig:
    """How the same arithmetic is carried out.

    Attributes:
        channels_last: lay the maps of the trunk and of the branches out with channels innermost; the guide's heads
            stay as they are (the paper's conv5_g is slower so), and so do narrow branches in a loop.
        compile: torch.compile of the whole network; "reduce-overhead" replays CUDA graphs.
        fused_optimiser: one kernel for Adam's whole update.
        checkpoint_branches: compute the branches a second time in the backward pass instead of keeping their maps.
        resident: keep the whole training split in the GPU's memory, where `memory` allows it.
    """

    channels_last: bool = True
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    fused_optimiser: bool = True
    checkpoint_branches: bool = False
    resident: bool = False


def hasten(network: TwoStream, config: SpeedConfig) -> TwoStream:
    """Switch on what `config` says, in place; names and values of the weights stay."""
    network.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    if network.guide is not None:
        branches = network.guide.branches
        if not (isinstance(branches, LoopBranches) and branches.width < NARROW):
            branches.memory_format = network.memory_format
        if config.checkpoint_branches:
            network.guide.run_branches = Recomputed(branches)
    if config.compile != "off":
        network.compile(mode=config.compile, dynamic=False)
    return network


class Recomputed:
    """A module whose inner maps are not kept for the backward pass but computed again (Chen et al. 2016).

    Batch norm's running statistics are moved by the first computation alone.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the module."""
        found: torch.Tensor = checkpoint(self.module, x, use_reentrant=False, context_fn=self._contexts)
        return found

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), self._untracked()

    @contextmanager
    def _untracked(self) -> Iterator[None]:
        norms = [module for module in self.module.modules() if isinstance(module, _BatchNorm)]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(norms, before, strict=True):
                norm.momentum = momentum
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked.sub_(1)
