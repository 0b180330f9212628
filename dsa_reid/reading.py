"""Crops brought to a network's size by threads, ahead of the network that wants them."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from .crops import Crop, as_rgb
from .errors import ModelError
from .preprocessing import Preprocessing

AHEAD = 2  # batches made ready while the network is busy with one


def batches(
    crops: Iterable[Crop], preprocessing: Preprocessing, size: int, workers: int | None = None
) -> Iterator[torch.Tensor]:
    """Yield uint8 (B, height, width, 3) of `size` crops, the last of fewer, in their order.

    Decoding and resizing leave Python's lock, so that threads do; `crops` itself is taken in the caller's thread, a
    few batches ahead at most.

    Args:
        workers: threads; as many as there are cores, at most 8, if None.

    Raises ModelError for a crop that is not a picture, and for a size or a number of workers below 1.
    """
    _at_least_one("batch_size", size)
    if workers is None:
        workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    _at_least_one("workers", workers)
    crops = iter(crops)
    waiting: collections.deque[list[Future[torch.Tensor]]] = collections.deque()
    with ThreadPoolExecutor(workers, "crops") as pool:
        try:
            while some := list(itertools.islice(crops, size)):
                waiting.append([pool.submit(_ready, crop, preprocessing) for crop in some])
                if len(waiting) > AHEAD:
                    yield _stacked(waiting.popleft())
            while waiting:
                yield _stacked(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ready(crop: Crop, preprocessing: Preprocessing) -> torch.Tensor:
    return preprocessing.resize(as_rgb(crop))


def _stacked(pictures: list[Future[torch.Tensor]]) -> torch.Tensor:
    return torch.stack([picture.result() for picture in pictures])


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ModelError(f"{name} = {value} does not hold: expected 1 or more.")
