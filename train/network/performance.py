"""Switches that make a step faster or smaller, and change its numbers by rounding at most.

Which of them are on by default, and what was measured of each, is in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dsa_reid.timm_trunk import TimmTrunk

from .branches import LoopBranches
from .config import SpeedConfig
from .grouped import compute_grouped
from .two_stream import TwoStream

NARROW = 32  # channels of a branch below which a loop of branches is slower with its channels innermost


def apply_performance(network: TwoStream, config: SpeedConfig) -> TwoStream:
    """Switch on the options of `config`, in place, for the device of the network; return the network.

    Names and values of the weights stay.
    """
    network.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    if network.main.local_head is not None:
        compute_grouped(network.main.local_head, config.local_heads)
    if network.guide is not None:
        branches = network.guide.branches
        if not (isinstance(branches, LoopBranches) and branches.width < NARROW):
            branches.memory_format = network.memory_format
        on_gpu = next(network.parameters()).device.type == "cuda"
        branches.output_format = _guide_heads_format(config, on_gpu)
        if config.checkpoint_branches:
            network.guide.run_branches = Recomputed(branches)
    if config.compile == "parts":
        trunk = network.main.trunk
        trunk.levels = torch.compile(trunk.levels, dynamic=False)  # type: ignore[method-assign]
        if isinstance(trunk, TimmTrunk):
            trunk.with_token = torch.compile(trunk.with_token, dynamic=False)  # type: ignore[method-assign]
        for part in _parts(network):
            part.compile(dynamic=False)
    elif config.compile != "off":
        network.compile(mode=config.compile, dynamic=False)
    return network


def _guide_heads_format(config: SpeedConfig, on_gpu: bool) -> torch.memory_format:
    """Return the layout of D; on an H200 conv5_g takes 6.5 ms channels last and 8.6 contiguous, on a CPU 1.5 to 1."""
    last = config.channels_last and on_gpu if config.guide_heads == "auto" else config.guide_heads == "channels_last"
    return torch.channels_last if last else torch.contiguous_format


def _parts(network: TwoStream) -> list[nn.Module]:
    """Return the branches and the heads."""
    parts: list[nn.Module | None] = [network.main.global_head, network.main.local_head, network.main.part_head]
    if network.guide is not None:
        parts += [network.guide.branches, network.guide.global_head, network.guide.local_head]
    return [part for part in parts if part is not None]


class Recomputed:
    """A module whose inner maps are not kept for the backward pass but computed again (Chen et al. 2016).

    Only the first computation changes batch norm's running statistics.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the module's output."""
        output: torch.Tensor = checkpoint(self.module, x, use_reentrant=False, context_fn=self._contexts)
        return output

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the contexts of the forward pass and of the second computation in the backward pass."""
        return nullcontext(), self._statistics_kept()

    @contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        """Keep batch norm's running statistics while the context lasts."""
        # Batch norm has no switch to normalise by the batch without tracking it: momentum 0 keeps mean and variance,
        # and the count of batches is taken back.
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
