"""How fast the work goes now, for the time that is left: over the last half minute, without the start."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 30.0  # seconds


class Rate:
    """The recent rate of some work, in units a second.

    The first report is not counted: until then a network is loaded, workers start, the compiler runs.
    """

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque()  # (seconds, units done)

    def report(self, done: int) -> None:
        """Note that `done` units are done in all, now."""
        now = time.monotonic()
        self._reports.append((now, done))
        while len(self._reports) > 2 and self._reports[1][0] <= now - WINDOW:
            self._reports.popleft()

    @property
    def per_second(self) -> float | None:
        """Units a second; None until there are two reports at different times."""
        if len(self._reports) < 2:
            return None
        (start, first), (end, last) = self._reports[0], self._reports[-1]
        return (last - first) / (end - start) if end > start and last > first else None
