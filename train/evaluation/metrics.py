"""Rank-k, mAP and mINP by the cross-camera rule, exact, from the ranks of the true matches alone.

A gallery picture of the query's person from the query's camera is left out, as in Market-1501's protocol. What
remains is ranked by distance; every measure follows from the places of the right pictures, so no row of the distance
matrix is ever argsorted: counting what is no farther than each right picture is enough.

**Ties** flatter nobody: of pictures at one distance the wrong ones are ranked first. A network that gives every
picture the same feature has the worst score there is, whatever the order of the gallery.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from dsa_app.errors import TrainingError

REPEATS = 100  # random rankings behind `chance`
FEW = 64  # right pictures up to which a count for each is faster than one sort of the row


@dataclasses.dataclass(frozen=True)
class Matches:
    """Where the right pictures of each query stand in its ranking.

    Args:
        ranks: the 1-based ranks of all right pictures, ascending within a query, query after query.
        counts: (Q,), how many of them each query has; 0 for a query without a match in another camera.
        ranked: (Q,), how many gallery pictures each query ranks.
    """

    ranks: np.ndarray
    counts: np.ndarray
    ranked: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where each query's ranks begin, for the queries that have any."""
        counts = self.counts[self.counts > 0]
        return np.cumsum(counts) - counts


@dataclasses.dataclass(frozen=True)
class Result:
    """The measures of a retrieval, as fractions.

    Args:
        cmc: (max_rank,), the share of queries with a right picture among the first 1, 2, ... .
        mAP: mean average precision, over the whole ranked list.
        mINP: mean inverse negative penalty (Ye et al., 2021): matches / rank of the hardest match.
        ap: (Q,), average precision by query; NaN for a query without a match.
        queries: how many queries counted.
        left_out: how many had no match in another camera, and did not count.
    """

    cmc: np.ndarray
    mAP: float  # noqa: N815 - the field's name
    mINP: float  # noqa: N815
    ap: np.ndarray
    queries: int
    left_out: int

    def rank(self, k: int) -> float:
        """Return Rank-k."""
        return float(self.cmc[k - 1])


def evaluate(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int = 50,
    trapezoid: bool = False,
) -> Result:
    """Measure a retrieval from its distance matrix.

    Args:
        distmat: (Q, G), smaller is nearer.
        q_pids, q_camids: (Q,), identity and camera of each query.
        g_pids, g_camids: (G,), of each gallery picture.
        max_rank: length of the CMC curve; a shorter gallery leaves its end level.
        trapezoid: average precision as Market-1501's first code computes it, by trapezoids under the
            precision-recall curve, rather than as the mean precision at each right picture.

    Raises:
        TrainingError: for an empty gallery, sizes that do not agree, a distance that is not a number, or when no
            query has a match in another camera.
    """
    return measure(find_matches(distmat, q_pids, g_pids, q_camids, g_camids), max_rank, trapezoid)


def find_matches(
    distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray
) -> Matches:
    """Return the ranks of every query's right pictures; arguments as for `evaluate`."""
    distmat = np.asarray(distmat)
    q_pids, g_pids, q_camids, g_camids = map(np.asarray, (q_pids, g_pids, q_camids, g_camids))
    check(distmat, q_pids, g_pids, q_camids, g_camids)
    ranks, ranked = [], np.empty(len(q_pids), np.int64)
    for query, (row, same) in enumerate(zip(distmat, same_pid(q_pids, g_pids), strict=True)):
        other_camera = g_camids[same] != q_camids[query]
        right = np.sort(row[same[other_camera]])
        left_out = np.sort(row[same[~other_camera]])
        ranked[query] = len(row) - len(left_out)
        if len(right) == 0:
            ranks.append(np.empty(0, np.int64))
            continue
        nearer = _no_farther(row, right) - _at_most(right, right) - _at_most(left_out, right)
        ranks.append(nearer + np.arange(1, len(right) + 1))  # wrong pictures as near or nearer, and the right before
    return Matches(np.concatenate(ranks), np.array([len(one) for one in ranks]), ranked)


def same_pid(q_pids: np.ndarray, g_pids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of each query's person in the gallery."""
    by_pid = np.argsort(g_pids, kind="stable")
    first = np.searchsorted(g_pids, q_pids, side="left", sorter=by_pid)
    end = np.searchsorted(g_pids, q_pids, side="right", sorter=by_pid)
    for start, stop in zip(first, end, strict=True):
        yield by_pid[start:stop]


def joined(parts: Sequence[Matches]) -> Matches:
    """Put together what was found for one group of queries after another."""
    return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ranks", "counts", "ranked")))


def measure(matches: Matches, max_rank: int = 50, trapezoid: bool = False) -> Result:
    """Compute every measure from the ranks of the right pictures; arguments as for `evaluate`."""
    counted = matches.counts > 0
    counts, starts, ranks = matches.counts[counted], matches.starts, matches.ranks
    if not len(counts):
        raise TrainingError(
            "No query has a picture of its person in the gallery from another camera, so nothing can be measured: "
            "Rank-k and mAP count what is found again by another camera. Check the split and the camera numbers. If "
            "all pictures are one camera's, or nobody knows whose, go on without that rule (what is found may then be "
            "the next frame): --set evaluate.cameras=ignore."
        )
    place = np.arange(len(ranks)) - np.repeat(starts, counts) + 1  # 1, 2, ... within each query
    precision = _precision(place, ranks, trapezoid)
    ap = np.full(len(counted), np.nan)
    ap[counted] = np.add.reduceat(precision, starts) / counts
    best, hardest = ranks[starts], ranks[starts + counts - 1]
    cmc = np.cumsum(np.bincount(best, minlength=max_rank + 1)[1 : max_rank + 1]) / len(counts)
    return Result(
        cmc,
        float(ap[counted].mean()),
        float((counts / hardest).mean()),
        ap,
        len(counts),
        int((~counted).sum()),
    )


def _precision(place: np.ndarray, ranks: np.ndarray, trapezoid: bool) -> np.ndarray:
    """Return what the n-th right picture of a query, `place` n at `ranks` r, adds to its average precision."""
    precision = place / ranks
    if trapezoid:
        before = np.where(ranks > 1, (place - 1) / np.maximum(ranks - 1, 1), 1.0)
        precision = (precision + before) / 2
    return precision


def chance(matches: Matches, repeats: int = REPEATS, seed: int = 0, trapezoid: bool = False) -> float:
    """Return the mAP of random rankings of the same queries and gallery, the mean over `repeats` of them.

    Random ranks of n right pictures among M are a random n-subset of 1..M, drawn by Floyd's algorithm for all
    repeats at once.
    """
    generator = np.random.default_rng(seed)
    total = 0.0
    for count, ranked in zip(matches.counts, matches.ranked, strict=True):
        if count == 0:
            continue
        ranks = np.zeros((repeats, count), np.int64)
        for drawn in range(count):
            last = ranked - count + drawn + 1
            pick = generator.integers(1, last + 1, repeats)
            taken = (ranks[:, :drawn] == pick[:, None]).any(1)
            ranks[:, drawn] = np.where(taken, last, pick)
        ranks.sort(axis=1)
        total += float(_precision(np.arange(1, count + 1), ranks, trapezoid).mean())
    return total / int((matches.counts > 0).sum())


def _no_farther(row: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count, for each limit, the values of a row in any order that do not exceed it."""
    if len(limits) <= FEW:
        return np.array([np.count_nonzero(row <= limit) for limit in limits])
    return _at_most(np.sort(row), limits)


def _at_most(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count, for each limit, the sorted `values` that do not exceed it."""
    return np.searchsorted(values, limits, side="right")


def check(
    distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray
) -> None:
    """Raise TrainingError unless `evaluate` can go to work on its arguments."""
    if distmat.ndim != 2 or not distmat.size:
        raise TrainingError(
            f"The distances have the shape {distmat.shape}: a query and a gallery picture, at least, are needed. "
            "Check the splits: dsa-data check."
        )
    q, g = distmat.shape
    if not (len(q_pids) == len(q_camids) == q and len(g_pids) == len(g_camids) == g):
        raise TrainingError(
            f"The distances are {q} x {g}, but there are {len(q_pids)} query and {len(g_pids)} gallery identities, "
            f"{len(q_camids)} and {len(g_camids)} cameras. Give one of each for every picture."
        )
    broken = np.flatnonzero(np.isnan(distmat.sum(axis=1)))  # a NaN anywhere, or infinities of both signs
    if len(broken):
        raise TrainingError(
            f"Some distances of query {broken[0]} are not numbers ({len(broken)} queries in all): its features, or a "
            "gallery picture's, are not. The network did not train properly; look at its losses."
        )
