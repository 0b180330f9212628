"""One run shared among the processes that torchrun starts: shares of a batch, gradients, features of all processes.

A batch has the same P identities with K images for any number of processes: each takes P / processes whole identities.
Identity terms are means over equal shares, which DistributedDataParallel averages; a term over pairs of images is
computed by every process over the features of all, with gradients to each.
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

from dsa_app import interrupt
from dsa_app.errors import TrainingError
from dsa_app.process_group import ProcessGroup

from .sync_batch_norm import synchronise_batch_norm

# Words in the errors of gloo and NCCL when another process has ended.
LOST = ("gloo", "nccl", "connection closed", "connection reset", "connection refused", "broken pipe")


class Processes:
    """The processes of a run and their communication; by default this process alone.

    Args:
        group: this process among them.
        device: of this process; GPUs exchange gradients by NCCL, all else is exchanged by gloo.
    """

    def __init__(self, group: ProcessGroup | None = None, device: torch.device | None = None) -> None:
        self.group = group or ProcessGroup()
        self._group = None
        if self.size > 1 and device is not None and device.type == "cuda":
            torch.cuda.set_device(device)
            self._group = torch.distributed.new_group(backend="nccl")

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.group.size

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes, logs and evaluates."""
        return self.group.is_main

    def check_identities(self, identities: int) -> None:
        """Raise TrainingError unless every process gets the same number of whole identities of a batch."""
        if identities % self.size:
            raise TrainingError(
                f"A batch of {identities} identities cannot be split evenly among {self.size} processes. "
                f"Set train.identities to a multiple of {self.size}, or start another number of processes."
            )

    def check_share(self, total: int, synchronised: bool) -> None:
        """Raise TrainingError if batch norm would see a single image, whose variance is 0.

        Args:
            total: images of a batch, P * K.
            synchronised: whether batch norm is over the images of all processes.
        """
        if total // (1 if synchronised else self.size) < 2:
            each = " for each process" if total > 1 else ""
            raise TrainingError(
                f"A batch has one image{each} (train.identities x train.pictures), and batch norm needs at least two. "
                "Set more: --set train.pictures=4."
            )

    def share(self, total: int) -> slice:
        """Return this process's share of a batch of `total` images, whole identities side by side."""
        length = total // self.size
        return slice(self.group.rank * length, (self.group.rank + 1) * length)

    def wrap(self, network: nn.Module, synchronised: bool) -> nn.Module:
        """Return the module to call for a forward pass: the network, or DistributedDataParallel around it.

        The weights stay those of `network`; with several processes it takes those of the first.

        Args:
            synchronised: batch norm is over the images of all processes, not over each one's own.
        """
        if self.size == 1:
            return network
        if synchronised:
            synchronise_batch_norm(network, self._group)
        return DistributedDataParallel(network, process_group=self._group)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Join the tensors of all processes, (B / processes, …) to (B, …), with gradients to each."""
        if self.size == 1:
            return x
        joined: torch.Tensor = _Gather.apply(x, self._group)  # type: ignore[no-untyped-call]  # torch's apply has no types
        return joined

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over all processes of a CPU tensor."""
        if self.size == 1:
            return x
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def maximum(self, number: int) -> int:
        """Return the maximum of the processes' numbers."""
        if self.size == 1:
            return number
        maximum = torch.tensor(number)
        torch.distributed.all_reduce(maximum, torch.distributed.ReduceOp.MAX)
        return int(maximum)

    def wait(self) -> None:
        """Wait until all processes have called this. Raises EngineError if one of them has stopped."""
        self.group.wait()

    @contextmanager
    def lost_explained(self, path: Path) -> Iterator[None]:
        """Turn the error after another process has ended into a TrainingError that names the checkpoint to resume."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not any(words in str(error).lower() for words in LOST):
                raise
            interrupt.ignore()
            raise TrainingError(
                f"Another process of this run has ended, so this one (rank {self.group.rank}) stops; see the error of "
                f"that process. The last checkpoint is {path}. Run the same command to resume, with any number of "
                "processes."
            ) from None


def without_gradient_exchange(module: nn.Module, active: bool) -> AbstractContextManager[Any]:
    """Return a context in which the backward pass leaves each process its own gradients, if `active`."""
    return module.no_sync() if active and isinstance(module, DistributedDataParallel) else nullcontext()


def processes_on_this_machine() -> int:
    """Return how many processes of this run share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class _Gather(torch.autograd.Function):
    """The tensors of all processes joined; the gradient of each is the sum of all processes' gradients of its part."""

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
