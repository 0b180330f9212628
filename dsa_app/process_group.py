"""The processes that torchrun starts: which one is the main process, and how they wait for each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from . import interrupt
from .errors import EngineError

if TYPE_CHECKING:
    import torch.distributed

TIMEOUT = timedelta(days=7)  # a process waits for as long as another has images left
EXIT_TIMEOUT = timedelta(minutes=1)  # for the main process to wait at the end, when all work is done


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that share the work, as seen by this one; by default it works alone.

    Attributes:
        rank: number of this process, from 0; process 0 is the main process.
        size: number of processes.
        local_rank: number of this process on its machine, which is also the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Return whether this is the main process, which holds the lock and writes the output."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have called this. Raises EngineError if one of them has stopped."""
        if self.size == 1:
            return
        import torch.distributed

        try:
            torch.distributed.barrier()
        except RuntimeError:
            interrupt.ignore()
            raise EngineError("Another process of this run has stopped. See its own error message.") from None

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block in the main process before the others, so that they find what it made."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK); without torchrun, work alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup()
        return
    import torch.distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        yield ProcessGroup(rank, size, int(os.environ["LOCAL_RANK"]))
        _leave(store, rank, size)
    finally:
        torch.distributed.destroy_process_group()


def _leave(store: torch.distributed.Store, rank: int, size: int) -> None:
    """Let the main process leave last.

    A process that closes its connections while another has not yet left the last barrier can keep that one there for as
    long as `TIMEOUT`: a process was seen to hang after the main process had ended without an error.
    """
    import torch.distributed

    if rank:
        store.set(f"left {rank}", "")
        return
    # If a process has died, its own error message was printed.
    with contextlib.suppress(torch.distributed.DistError):
        store.wait([f"left {other}" for other in range(1, size)], EXIT_TIMEOUT)
