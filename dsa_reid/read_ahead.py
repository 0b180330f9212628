"""Results computed by threads before the consumer needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Generator[R, None, None]:
    """Yield `function(item)` for every item, in order, while threads compute the next ones.

    `items` is iterated in the caller's thread. An error, of `items` too, is raised when its item is due; items that
    were not started are then cancelled.

    Args:
        workers: threads.
        ahead: results that are computed beyond the one that was yielded, at least 1.
    """
    waiting = iter(items)
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "read-ahead") as pool:
        try:
            pending.extend(_submitted(pool, function, waiting, ahead))
            while pending:
                oldest = pending.popleft()
                pending.extend(_submitted(pool, function, waiting, 1))
                yield oldest.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterator[T], count: int
) -> Iterator[Future[R]]:
    """Yield the futures of the next `count` items; an error that ends the items is a future of its own."""
    try:
        for item in islice(items, count):
            yield pool.submit(function, item)
    except Exception as error:
        failed: Future[R] = Future()
        failed.set_exception(error)
        yield failed
