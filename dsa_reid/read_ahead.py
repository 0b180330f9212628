"""Results computed by threads before the consumer needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Generator[R, None, None]:
    """Yield `function(item)` for every item, in order, while threads compute the next ones.

    `items` is iterated in the caller's thread. An error is raised when its item is due; items that were not started are
    then cancelled.

    Args:
        workers: threads.
        ahead: results that are computed beyond the one that was yielded, at least 1.
    """
    waiting = iter(items)
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "read-ahead") as pool:
        try:
            pending.extend(pool.submit(function, item) for item in islice(waiting, ahead))
            while pending:
                oldest = pending.popleft()
                pending.extend(pool.submit(function, item) for item in islice(waiting, 1))
                yield oldest.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
