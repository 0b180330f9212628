"""The processes that torchrun starts: who leads, and where all wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from data.errors import EngineError

PATIENCE = timedelta(days=7)  # a process may wait as long as another has pictures left


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

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Team(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    finally:
        torch.distributed.destroy_process_group()
