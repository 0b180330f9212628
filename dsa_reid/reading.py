"""Crops brought to a network's size by threads, ahead of the network that wants them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import closing

import torch

from .crops import Crop, as_rgb
from .errors import ModelError
from .preprocessing import Preprocessing
from .read_ahead import read_ahead

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
    ready = read_ahead(lambda crop: preprocessing.resize(as_rgb(crop)), crops, workers, AHEAD * size)
    with closing(ready):
        while some := list(itertools.islice(ready, size)):
            yield torch.stack(some)  # (B, height, width, 3)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ModelError(f"{name} = {value} does not hold: expected 1 or more.")
