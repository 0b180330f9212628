"""Jobs that take turns in one run, so that a busy machine troubles all alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Turns:
    """How often jobs are run, and on what.

    Args:
        device: that a job's work ends on.
        rounds: that count; of each job the fastest does.
        warm: rounds before them.
    """

    device: torch.device
    rounds: int
    warm: int = 2

    def clock(self) -> float:
        """Return the time once the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def processor(self) -> float:
        """Return the processor time of this process, which other programs leave alone; on a GPU as `clock`."""
        return self.clock() if self.device.type == "cuda" else time.process_time()

    def seconds(self, jobs: dict[str, Callable[[], object]], by_the_clock: bool = False) -> dict[str, float]:
        """Return the seconds of each job's fastest round."""
        now = self.clock if by_the_clock else self.processor
        found = dict.fromkeys(jobs, float("inf"))
        for turn in range(self.warm + self.rounds):
            for name, job in jobs.items():
                start = now()
                job()
                if turn >= self.warm:
                    found[name] = min(found[name], now() - start)
        return found
