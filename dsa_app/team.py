"""The processes that torchrun starts: who leads, and where all wait for each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .errors import EngineError

if TYPE_CHECKING:
    import torch.distributed

PATIENCE = timedelta(days=7)  # a process may wait as long as another has pictures left
FAREWELL = timedelta(minutes=1)  # to leave, when all work is done


@dataclass(frozen=True)
class Team:
    """This process among those that share the work; alone by default.

    Attributes:
        rank: this process's number, from 0, which leads.
        size: how many there are.
        local: its number on this machine, which is also that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Tell whether this process is the one that holds the lock and writes the store."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all have come here. Raises EngineError if one of them has stopped."""
        if self.size == 1:
            return
        import torch.distributed

        try:
            torch.distributed.barrier()
        except RuntimeError:
            raise EngineError("Another process of this run has stopped; its own error says why.") from None

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader run the block before the others, so that they find what it made."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


@contextmanager
def gathered() -> Iterator[Team]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK); without torchrun work alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    import torch.distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Team(rank, size, int(os.environ["LOCAL_RANK"]))
        _leave(store, rank, size)
    finally:
        torch.distributed.destroy_process_group()


def _leave(store: torch.distributed.Store, rank: int, size: int) -> None:
    """Let the leader leave last.

    One that closes its connections while another has not yet left the last barrier can keep that one there for as long
    as `PATIENCE`: a process was seen to hang after its leader had ended well.
    """
    import torch.distributed

    if rank:
        store.set(f"left {rank}", "")
        return
    with contextlib.suppress(torch.distributed.DistError):  # one that has died is told of by its own last words
        store.wait([f"left {other}" for other in range(1, size)], FAREWELL)
