"""Batches of crops, decoded and resized by threads ahead of the network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import closing

import torch

from .crops import Crop, as_rgb, numbered
from .errors import ModelError
from .preprocessing import Preprocessing
from .read_ahead import read_ahead

AHEAD = 2  # batches that are prepared while the network computes one


def batches(
    crops: Iterable[Crop], preprocessing: Preprocessing, size: int, workers: int | None = None
) -> Iterator[torch.Tensor]:
    """Yield uint8 (B, height, width, 3) of `size` crops in order; the last batch may be smaller.

    Decoding and resizing release Python's lock, so that threads suffice. `crops` is iterated in the caller's thread, at
    most a few batches ahead.

    Args:
        workers: threads; one a core, at most 8, if None.

    Raises ModelError for a crop that is not an image, and for a size or a number of workers below 1.
    """
    _at_least_one("batch_size", size)
    if workers is None:
        workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    _at_least_one("workers", workers)
    resized = read_ahead(lambda one: preprocessing.resize(as_rgb(*one)), numbered(crops), workers, AHEAD * size)
    with closing(resized):
        while batch := list(itertools.islice(resized, size)):
            yield torch.stack(batch)  # (B, height, width, 3)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ModelError(f"{name} = {value} is invalid: expected 1 or more.")
