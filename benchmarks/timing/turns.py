"""Jobs that take turns in one run, so that other programs on the machine disturb all of them alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Turns:
    """How often jobs are run.

    Args:
        device: that the jobs compute on.
        rounds: that are timed; the fastest of each job counts.
        warm: rounds before these.
    """

    device: torch.device
    rounds: int
    warm: int = 2

    def clock(self) -> float:
        """Return the time after the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def processor(self) -> float:
        """Return the processor time of this process, which other programs do not disturb; on a GPU as `clock`."""
        return self.clock() if self.device.type == "cuda" else time.process_time()

    def seconds(self, jobs: dict[str, Callable[[], object]], by_the_clock: bool = False) -> dict[str, float]:
        """Return the seconds of each job's fastest round."""
        now = self.clock if by_the_clock else self.processor
        fastest = dict.fromkeys(jobs, float("inf"))
        for turn in range(self.warm + self.rounds):
            for name, job in jobs.items():
                start = now()
                job()
                if turn >= self.warm:
                    fastest[name] = min(fastest[name], now() - start)
        return fastest
