"""Batch norm over the images of all processes, on any device; torch's own SyncBatchNorm needs a GPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise_batch_norm(network: nn.Module, group: Any = None) -> None:
    """Replace every batch norm of `network`, in place, by one over all processes of `group`; names and values stay."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
                setattr(module, name, SyncBatchNorm(child, group))


class SyncBatchNorm(_BatchNorm):
    """Batch norm over B, height and width, and all processes (Ioffe and Szegedy 2015; Peng et al. 2018, MegDet).

    In evaluation it is ordinary batch norm.
    """

    def __init__(self, norm: _BatchNorm, group: Any = None) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({key: value for key, value in norm.__dict__.items() if not key.startswith("__")})
        self.group = group

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Accept input of any rank: the base class is abstract here."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, …) over everything but C."""
        if not self.training:
            output: torch.Tensor = super().forward(input)
            return output
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.numel() // x.shape[1] * torch.distributed.get_world_size(self.group)
        # Two exchanges, the mean first and the variance from centred values: the mean of squares less the squared mean,
        # which needs one, would lose digits to cancellation.
        mean = _sum_over_processes(x.sum(axes), self.group) / count  # (C)
        centred = x - mean.view(shape)
        variance = _sum_over_processes(centred.square().sum(axes), self.group) / count  # (C)
        if self.track_running_stats:
            # The running variance is the unbiased one, as torch's.
            self._track(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        y = centred * (variance + self.eps).rsqrt().view(shape)
        scaled: torch.Tensor = y * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.running_mean is not None, "a batch norm that tracks has a mean"
        assert self.running_var is not None, "a batch norm that tracks has a variance"
        assert self.num_batches_tracked is not None, "a batch norm that tracks counts its batches"
        assert self.momentum is not None, "batch norms here have a momentum"
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


def _sum_over_processes(x: torch.Tensor, group: Any) -> torch.Tensor:
    """Return the sum of all processes' tensors, with gradients to each."""
    total: torch.Tensor = _Sum.apply(x, group)  # type: ignore[no-untyped-call]  # torch's apply has no types
    return total


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum over processes too."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        total = x.contiguous().clone()
        torch.distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(total, group=ctx.group)
        return total, None
