"""One run shared among the processes that torchrun starts: shares of a batch, gradients, features of the others.

A batch is the same P identities with K pictures however many processes there are: each takes P / processes whole
identities. Identity terms are means over equal shares, which DistributedDataParallel averages; a term over pairs of
pictures is computed by every process over the features of all, with gradients to each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dsa_app.errors import TrainingError
from dsa_app.process_group import ProcessGroup

from .synchronised import synchronise

# How gloo and NCCL say that another process is gone.
LOST = ("gloo", "nccl", "connection closed", "connection reset", "connection refused", "broken pipe")


class Processes:
    """The processes of a run, and what they exchange; alone by default.

    Args:
        group: this process among them.
        device: that it computes on: GPUs exchange gradients by NCCL, the rest goes by gloo.
    """

    def __init__(self, group: ProcessGroup | None = None, device: torch.device | None = None) -> None:
        self.group = group or ProcessGroup()
        self._group = None
        if self.size > 1 and device is not None and device.type == "cuda":
            torch.cuda.set_device(device)
            self._group = torch.distributed.new_group(backend="nccl")

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.group.size

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes, logs and measures."""
        return self.group.is_main

    def check(self, identities: int) -> None:
        """Raise TrainingError unless a batch's identities can be shared out whole."""
        if identities % self.size:
            raise TrainingError(
                f"A batch of {identities} identities cannot be shared out whole among {self.size} processes. "
                f"Set train.identities to a multiple of {self.size}, or start another number of processes."
            )

    def own(self, total: int) -> slice:
        """Return this process's share of a batch of `total` pictures, whole identities side by side."""
        share = total // self.size
        return slice(self.group.rank * share, (self.group.rank + 1) * share)

    def wrap(self, network: nn.Module, synchronised: bool) -> nn.Module:
        """Return what to call for the forward pass: the network itself, or one whose gradients are averaged.

        Names and values of the weights are those of `network`, which takes the first process's.

        Args:
            synchronised: batch norm's statistics are of all processes' pictures, not of each one's own.
        """
        if self.size == 1:
            return network
        if synchronised:
            synchronise(network, self._group)
        return DistributedDataParallel(network, process_group=self._group)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Join what all processes hold, (B / processes, …) to (B, …), with gradients to each."""
        if self.size == 1:
            return x
        joined: torch.Tensor = _Gather.apply(x, self._group)
        return joined

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over all processes of a CPU tensor."""
        if self.size == 1:
            return x
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def greatest(self, number: int) -> int:
        """Return the greatest of the processes' numbers."""
        if self.size == 1:
            return number
        found = torch.tensor(number)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found)

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            torch.distributed.barrier()

    @contextmanager
    def explained(self, path: Path) -> Iterator[None]:
        """Turn the loss of another process into a TrainingError that names the checkpoint to go on from."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not any(sign in str(error).lower() for sign in LOST):
                raise
            raise TrainingError(
                f"Another process of this run has ended, so this one (number {self.group.rank}) cannot go on; that "
                f"one's own last words say why. All up to the last checkpoint is in {path}. Go on with the same "
                "command, with as many processes as you like."
            ) from None


def unsynchronised(forward: nn.Module, now: bool) -> AbstractContextManager[Any]:
    """Return a context in which gradients stay with their process if `now`: more of the same step are to come."""
    return forward.no_sync() if now and isinstance(forward, DistributedDataParallel) else nullcontext()


def processes_here() -> int:
    """Return how many processes of this run are on this machine, and share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class _Gather(torch.autograd.Function):
    """All processes' tensors joined; each one's gradient is the sum of what all of them make of its part."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group, ctx.rows = group, len(x)
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size(group))]
        torch.distributed.all_gather(parts, x.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(total, group=ctx.group)
        first = torch.distributed.get_rank(ctx.group) * ctx.rows
        return total[first : first + ctx.rows], None
