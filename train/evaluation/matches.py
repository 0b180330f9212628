"""Ranks of the correct matches of every query, by the cross-camera rule: what Rank-k, mAP and mINP are computed from.

A gallery image of the query's person from the query's camera is left out, as in Market-1501's protocol; so is one in
the same clothes, or in others, where a clothes protocol asks for it. The other images of that person are the correct
matches. Their ranks alone decide every measure, so that no row of the distance matrix needs to be sorted: the rank of a
match is 1 + the number of gallery images that are no farther.

Ties are resolved against the network: of images at the same distance, the false matches are ranked first. A network
that gives every image the same feature therefore has the worst possible score, whatever the order of the gallery.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import TrainingError

FEW = 64  # correct matches up to which counting for each is faster than sorting the row
Selection = slice | NDArray[np.integer]


@dataclasses.dataclass(frozen=True)
class Clothes:
    """Clothes of every query and of every gallery image, and which matches count.

    Args:
        query, gallery: (Q,) and (G,), numbers of outfits among those of a person.
        changed: only matches in other clothes than the query's count; else only those in the same.
    """

    query: np.ndarray
    gallery: np.ndarray
    changed: bool


@dataclasses.dataclass(frozen=True)
class Labels:
    """Identity and camera of every query and of every gallery image.

    Args:
        q_pids, q_camids: (Q,), of the queries.
        g_pids, g_camids: (G,), of the gallery.
        clothes: of both, for a clothes protocol; None to count matches in any clothes.
    """

    q_pids: np.ndarray
    g_pids: np.ndarray
    q_camids: np.ndarray
    g_camids: np.ndarray
    clothes: Clothes | None = dataclasses.field(default=None, kw_only=True)

    def left_out(self, query: int, columns: Selection = slice(None)) -> NDArray[np.bool_]:
        """Return which gallery columns do not count as matches of a query if they show its person: bool (columns,)."""
        out = self.g_camids[columns] == self.q_camids[query]
        if self.clothes is not None:
            same = self.clothes.gallery[columns] == self.clothes.query[query]
            out = out | (same if self.clothes.changed else ~same)
        return np.asarray(out)

    def select(self, queries: Selection, gallery: Selection = slice(None)) -> Labels:
        """Return the labels of some queries and of some gallery images."""
        clothes = self.clothes
        if clothes is not None:
            clothes = Clothes(clothes.query[queries], clothes.gallery[gallery], clothes.changed)
        some = Labels(
            self.q_pids[queries], self.g_pids[gallery], self.q_camids[queries], self.g_camids[gallery], clothes=clothes
        )
        if isinstance(gallery, slice) and gallery == slice(None):
            some.__dict__["by_pid"] = self.by_pid  # a large gallery is sorted once, and not for every block of queries
        return some

    @functools.cached_property
    def by_pid(self) -> NDArray[np.intp]:
        """Columns of the gallery in the order of their identities."""
        return np.argsort(self.g_pids, kind="stable")

    def check(self, distmat: np.ndarray) -> None:
        """Raise TrainingError unless `distmat` is (Q, G), not empty, and all of it are numbers."""
        if distmat.ndim != 2 or not distmat.size:
            raise TrainingError(
                f"The distance matrix has the shape {distmat.shape}: at least one query and one gallery image are "
                "needed. Check the splits: dsa-data check."
            )
        q, g = distmat.shape
        if not (len(self.q_pids) == len(self.q_camids) == q and len(self.g_pids) == len(self.g_camids) == g):
            raise TrainingError(
                f"The distance matrix is {q} x {g}, but there are {len(self.q_pids)} query and {len(self.g_pids)} "
                f"gallery identities, {len(self.q_camids)} and {len(self.g_camids)} cameras. Give one identity and one "
                "camera for every row and column."
            )
        broken = np.flatnonzero(np.isnan(distmat.sum(axis=1)))  # a NaN anywhere, or infinities of both signs
        if len(broken):
            raise TrainingError(
                f"Distances of query {broken[0]} are not numbers (NaN; {len(broken)} queries in all): its features, or "
                "those of a gallery image, are NaN. The network did not train properly; look at its losses."
            )

    def same_pid(self) -> Iterator[NDArray[np.intp]]:
        """Yield for each query the gallery columns that show its person, from any camera."""
        by_pid = self.by_pid
        first = np.searchsorted(self.g_pids, self.q_pids, side="left", sorter=by_pid)
        end = np.searchsorted(self.g_pids, self.q_pids, side="right", sorter=by_pid)
        for start, stop in zip(first, end, strict=True):
            yield by_pid[start:stop]


@dataclasses.dataclass(frozen=True)
class Matches:
    """Ranks of the correct matches of Q queries.

    Args:
        ranks: (sum of counts,), the 1-based ranks, ascending within a query, query after query.
        counts: (Q,), correct matches of each query; 0 where no other camera saw the person.
        ranked: (Q,), gallery images that each query ranks: all but those of its person that are left out.
    """

    ranks: np.ndarray
    counts: np.ndarray
    ranked: np.ndarray

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index in `ranks` of the first match of each query that has any."""
        counts = self.counts[self.counts > 0]
        return np.asarray(np.cumsum(counts) - counts)


def find_matches(distmat: np.ndarray, labels: Labels) -> Matches:
    """Return the ranks of every query's correct matches.

    Args:
        distmat: (Q, G), smaller is nearer.

    Raises TrainingError as `Labels.check` does.
    """
    labels.check(distmat)
    ranks, ranked = [], np.empty(len(labels.q_pids), np.int64)
    for query, (row, same) in enumerate(zip(distmat, labels.same_pid(), strict=True)):
        out = labels.left_out(query, same)
        correct, left_out = np.sort(row[same[~out]]), np.sort(row[same[out]])
        ranked[query] = len(row) - len(left_out)
        if len(correct) == 0:
            ranks.append(np.empty(0, np.int64))
            continue
        # False matches that are no farther than each correct one: of all images no farther, neither the correct ones
        # themselves nor those left out. The n-th correct match has n - 1 others before it, and so the rank false + n.
        false = _no_farther(row, correct) - _at_most(correct, correct) - _at_most(left_out, correct)
        ranks.append(false + np.arange(1, len(correct) + 1))
    return Matches(np.concatenate(ranks), np.array([len(one) for one in ranks]), ranked)


def joined(parts: Sequence[Matches]) -> Matches:
    """Return the matches of several groups of queries as one, in the order of the groups."""
    return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ranks", "counts", "ranked")))


def _no_farther(row: np.ndarray, limits: np.ndarray) -> NDArray[np.intp]:
    """Count, for each limit, the values of an unsorted row that do not exceed it."""
    if len(limits) <= FEW:
        return np.array([np.count_nonzero(row <= limit) for limit in limits])
    return _at_most(np.sort(row), limits)


def _at_most(values: np.ndarray, limits: np.ndarray) -> NDArray[np.intp]:
    """Count, for each limit, the sorted `values` that do not exceed it."""
    return np.searchsorted(values, limits, side="right")
