"""Batches of crops, decoded and resized by threads ahead of the network."""

from __future__ import annotations

import functools
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
TOGETHER = (
    16  # crops that a thread takes at a time at most: each change of thread costs as much as decoding a small crop
)


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
    together = min(TOGETHER, -(-size // workers))
    of_batch = [range(start, min(start + together, size)) for start in range(0, size, together)]
    pieces = _pieces(numbered(crops), itertools.cycle([len(piece) for piece in of_batch]))
    prepare = functools.partial(_prepared, preprocessing=preprocessing)
    with closing(read_ahead(prepare, pieces, workers, AHEAD * len(of_batch))) as prepared:
        while batch := list(itertools.islice(prepared, len(of_batch))):
            yield torch.cat(batch)  # (B, height, width, 3)


def _pieces(crops: Iterator[tuple[Crop, str]], sizes: Iterator[int]) -> Iterator[list[tuple[Crop, str]]]:
    """Yield the crops in pieces of these sizes; the last one may be smaller."""
    for size in sizes:
        if not (piece := list(itertools.islice(crops, size))):
            return
        yield piece


def _prepared(piece: list[tuple[Crop, str]], preprocessing: Preprocessing) -> torch.Tensor:
    """Return uint8 (n, height, width, 3) of n crops with their names."""
    return torch.stack([preprocessing.resize(as_rgb(*one)) for one in piece])


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ModelError(f"{name} = {value} is invalid: expected 1 or more.")
