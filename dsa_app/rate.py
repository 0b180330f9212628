"""How fast the work goes now, over the last half minute, without the start; and when a log gets its next line."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 30.0  # seconds
FIRST, EVERY = 1.0, 10.0  # seconds from the start to the first line of progress in a log, and between lines
LONG, SELDOM = 600.0, 60.0  # seconds after which lines are further apart, and how far


class Pace:
    """When a log gets a line of progress: after a second, then every ten, after ten minutes every minute."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self._next = self.start + FIRST

    def is_due(self) -> bool:
        """Return whether a line is due now."""
        return time.monotonic() >= self._next

    def printed(self) -> None:
        """Note that a line is printed now: the next is due later."""
        now = time.monotonic()
        self._next = now + (SELDOM if now - self.start >= LONG else EVERY)


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
