"""How many pairs of the same and of different people have which distance: counted in fine bins, never kept one by one.

A bin holds the distances that share the leading bits of their float32: sign, exponent and nine bits of the mantissa.
It is 0.2% of the distance wide, whatever its size. Counts are kept by the query's identity, for intervals over people.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .matches import Labels

SHIFT = 14  # bits of the mantissa that a bin leaves out, of 23
BINS = 32 - SHIFT  # bits of a bin's number
Counts = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Pairs by distance.

    Args:
        values: (K,), the upper end of each bin, ascending.
        same, different: (K,), pairs of the same and of different people in it.
    """

    values: NDArray[np.float64]
    same: Counts
    different: Counts

    @property
    def middles(self) -> NDArray[np.float64]:
        """A distance within each bin, (K,)."""
        return self.values - np.abs(self.values) * 2.0 ** (SHIFT - 24)


class Pairs(NamedTuple):
    """Pairs by distance, of all and by identity and camera pair.

    Attributes:
        curve: of all.
        same, different: (I, K), by identity of the query.
        by_cameras: by (query camera, gallery camera), those with pairs of both kinds.
    """

    curve: Curve
    same: Counts
    different: Counts
    by_cameras: dict[tuple[int, int], Curve]


class PairCounter:
    """Counts pairs, block of the distance matrix by block, by the cross-camera rule of rankings."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[Counts, Counts]] = {}  # by identity: codes, and how often each occurs
        self._cameras: list[int] = []

    def add(self, distmat: np.ndarray, labels: Labels) -> None:
        """Count the pairs of some queries, whose rows (n, G) of the distance matrix are given."""
        keys = _keys(distmat)  # (n, G)
        g_cameras = self._numbered(labels.g_camids)  # (G,)
        q_cameras = self._numbered(labels.q_camids)
        for query, pid in enumerate(labels.q_pids.tolist()):
            same = labels.g_pids == pid
            counted = ~same | ~labels.left_out(query)
            # one number a pair: the query's camera, the gallery's, whether it is the same person, and the bin
            codes = (q_cameras[query] << 12 | g_cameras) << 1 | same
            codes = (codes << BINS | keys[query])[counted]
            found, counts = np.unique(codes, return_counts=True)
            if pid in self._counts:
                found, counts = _merged(*self._counts[pid], found, counts)
            self._counts[pid] = found, counts

    def result(self) -> Pairs:
        """Return all that was counted."""
        codes = np.concatenate([codes for codes, _ in self._counts.values()])
        counts = np.concatenate([counts for _, counts in self._counts.values()])
        people = np.repeat(np.arange(len(self._counts)), [len(codes) for codes, _ in self._counts.values()])
        keys, bins = np.unique(codes & (1 << BINS) - 1, return_inverse=True)
        same = (codes >> BINS & 1).astype(bool)
        values = _upper(keys)
        tables = [np.zeros((len(self._counts), len(keys)), np.int64) for _ in range(2)]
        for table, some in zip(tables, (same, ~same), strict=True):
            np.add.at(table, (people[some], bins[some]), counts[some])
        by_cameras = {}
        for pair in np.unique(codes >> BINS + 1).tolist():
            own = codes >> BINS + 1 == pair
            sums = [np.bincount(bins[some], counts[some], len(keys)).astype(int) for some in (own & same, own & ~same)]
            if sums[0].any() and sums[1].any():
                q, g = self._cameras[pair >> 12], self._cameras[pair & 0xFFF]
                by_cameras[q, g] = Curve(values, *sums)
        curve = Curve(values, tables[0].sum(0), tables[1].sum(0))
        return Pairs(curve, tables[0], tables[1], dict(sorted(by_cameras.items())))

    def _numbered(self, camids: np.ndarray) -> Counts:
        """Return cameras by their index in the list of those seen so far."""
        unique, inverse = np.unique(camids, return_inverse=True)
        self._cameras += [one for one in unique.tolist() if one not in self._cameras]
        return np.array([self._cameras.index(one) for one in unique.tolist()])[inverse]


def _keys(distmat: np.ndarray) -> Counts:
    """Return the bin of each distance: the leading bits of its float32, in ascending order also below zero."""
    bits = np.ascontiguousarray(distmat, np.float32).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> SHIFT).astype(np.int64)


def _upper(keys: Counts) -> NDArray[np.float64]:
    """Return the greatest distance in each bin."""
    ordered = ((keys + 1 << SHIFT) - 1).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered).astype(np.uint32)
    return bits.view(np.float32).astype(np.float64)


def _merged(codes: Counts, counts: Counts, more: Counts, more_counts: Counts) -> tuple[Counts, Counts]:
    unique, inverse = np.unique(np.concatenate([codes, more]), return_inverse=True)
    return unique, np.bincount(inverse, np.concatenate([counts, more_counts])).astype(np.int64)
