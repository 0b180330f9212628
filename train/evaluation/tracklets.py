"""Tracklets: the features of a tracklet's frames, joined to one.

Rows are read in pieces, and frames are never all in memory: MARS has 681,089 in its test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_reid.config import REGIONS
from dsa_reid.model import VISIBILITY

from .distmat import Rows

ROWS = 4096  # that are in memory together
ROUNDING = 1e-3  # of a length that counts as 1: float16 is off by less
Floats = NDArray[np.float32]


def joins_frames(records: Sequence[Record], tracklets: str) -> bool:
    """Return whether images are compared as tracklets: some have one, and `evaluate.tracklets` is not "frames"."""
    return tracklets != "frames" and any(record.tracklet for record in records)


def pooled_tracklets(
    features: Rows,
    records: Sequence[Record],
    parts: Mapping[str, int],
    how: Literal["mean", "best", "visible"],
    any_length: bool = False,
) -> tuple[NDArray[np.int64], Floats]:
    """Return for each tracklet the row of its first frame (T,), and its feature (T, D), in the order of these rows.

    Each part of a feature has the length of a frame's, 1. The visibility of a region is the greatest in any frame, or
    that of the best.

    Args:
        features: (N, D), of N frames. An image without a tracklet is one of its own.
        parts: of a row, by their lengths in order; with the visibilities for "best" and "visible".
        how: the mean of the frames; the frame whose visibilities have the greatest sum (the first of equals); or the
            mean in which each region weighs by its visibility, and other parts by the mean visibility.
        any_length: of other programs' features: a part keeps the length of its mean, unless all frames' have length 1.

    Raises TrainingError for a tracklet of two people or cameras, or features without visibilities that are needed.
    """
    tracks, first = _numbered(records)
    if how != "mean" and VISIBILITY not in parts:
        raise TrainingError(f"Tracklets by {how} need features with the visibilities of regions. Use the mean.")
    if how == "best":
        return first, _best_frames(features, tracks, len(first), _columns(parts)[VISIBILITY])
    return first, _mean_frames(features, tracks, len(first), parts, how == "visible", any_length)


def _blocks(features: Rows, tracks: NDArray[np.int64]) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Yield the features (n, D) of `ROWS` frames at a time, and their tracklets (n,)."""
    for start in range(0, len(tracks), ROWS):
        yield np.array(features[start : start + ROWS], np.float32), tracks[start : start + ROWS]


def _best_frames(features: Rows, tracks: NDArray[np.int64], count: int, seen_at: slice) -> Floats:
    """Return for each tracklet (count, D) its frame whose visibilities have the greatest sum, the first of equals."""
    best = np.zeros((count, features.shape[1]), np.float32)
    most = np.full(count, -np.inf, np.float32)  # what the best frame so far shows
    for rows, index in _blocks(features, tracks):
        for row, track, shown in zip(rows, index.tolist(), rows[:, seen_at].sum(1).tolist(), strict=True):
            if shown > most[track]:
                most[track], best[track] = shown, row
    return best


def _mean_frames(
    features: Rows,
    tracks: NDArray[np.int64],
    count: int,
    parts: Mapping[str, int],
    by_visibility: bool,
    any_length: bool,
) -> Floats:
    """Return for each tracklet (count, D) the mean of its frames, each part scaled to the length that a frame's has.

    Args:
        by_visibility: regions weigh by their visibility in a frame.
        any_length: see `pooled_tracklets`.
    """
    columns, regions = _columns(parts), parts.get(VISIBILITY, REGIONS)
    seen_at = columns.get(VISIBILITY)
    sums = np.zeros((count, features.shape[1]), np.float32)
    weights, greatest = (np.zeros((count, regions), np.float32) for _ in range(2))  # sum and maximum of visibilities
    unit = dict.fromkeys(columns, True)  # whether all frames' parts have length 1
    for rows, index in _blocks(features, tracks):
        seen = np.ones((len(rows), regions), np.float32) if seen_at is None else rows[:, seen_at]
        np.maximum.at(greatest, index, seen)
        if any_length:
            lengths = {part: np.linalg.norm(rows[:, own], axis=1) for part, own in columns.items()}
            unit = {part: unit[part] and _is_unit(one) for part, one in lengths.items()}
        if by_visibility:
            np.add.at(weights, index, seen)
            rows *= _spread(seen, parts)
        _add(sums, index, rows)
    if by_visibility:  # means of regions: one that is seldom seen is as long as the others
        sums /= _spread(np.maximum(weights, 1e-6), parts)
    else:
        sums /= np.bincount(tracks, minlength=count)[:, None]
    for part, own in columns.items():
        if part == VISIBILITY:
            sums[:, own] = greatest
        elif unit[part]:
            length = np.linalg.norm(sums[:, own], axis=1, keepdims=True)
            sums[:, own] /= np.where(length > 0, length, 1)
    return sums


def _numbered(records: Sequence[Record]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each frame's tracklet, from 0 (N,), and the row of each tracklet's first frame (T,)."""
    numbers: dict[tuple[int, int], int] = {}
    first: list[int] = []
    tracks = np.empty(len(records), np.int64)
    for row, record in enumerate(records):
        name = (record.tracklet, 0) if record.tracklet else (0, row)
        if name not in numbers:
            numbers[name] = len(first)
            first.append(row)
        tracks[row] = numbers[name]
        other = records[first[tracks[row]]]
        if (record.pid, record.camid) != (other.pid, other.camid):
            raise TrainingError(
                f"The tracklet {record.tracklet} has images of two people or cameras: {other.key} and {record.key}. "
                "Give them tracklets of their own."
            )
    return tracks, np.array(first, np.int64)


def _is_unit(lengths: Floats) -> bool:
    """Return whether lengths (n,) are 1, or 0, as of a part of which nothing is seen."""
    return bool((np.minimum(np.abs(lengths - 1), lengths) < ROUNDING).all())


def _columns(parts: Mapping[str, int]) -> dict[str, slice]:
    """Return the columns of each part."""
    ends = np.cumsum(list(parts.values())).tolist()
    return {part: slice(end - parts[part], end) for part, end in zip(parts, ends, strict=True)}


def _spread(seen: Floats, parts: Mapping[str, int]) -> Floats:
    """Return the weight of each column (n, D): of local features their region's visibility, of others the mean."""
    weights = []
    for part, width in parts.items():
        if part == VISIBILITY:
            weights.append(np.ones((len(seen), width), np.float32))
        elif part.endswith("local"):
            weights.append(np.repeat(seen, width // seen.shape[1], axis=1))
        else:
            weights.append(np.repeat(seen.mean(1, keepdims=True), width, axis=1))
    return np.concatenate(weights, axis=1)


def _add(sums: Floats, index: NDArray[np.int64], rows: Floats) -> None:
    """Add rows (n, D) to `sums` (T, D) at `index` (n,); frames of a tracklet mostly follow each other."""
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    np.add.at(sums, index[starts], np.add.reduceat(rows, starts, axis=0))
