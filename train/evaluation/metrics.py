"""Rank-k (the CMC curve), mAP and mINP of a retrieval, from its distance matrix or from the ranks of its matches."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import TrainingError

from .matches import Labels, Matches, find_matches

REPEATS = 100  # random rankings that `chance` averages
NO_MATCH = (
    "No query has an image of its person in the gallery from another camera, so Rank-k and mAP, which count "
    "matches across cameras, are undefined. Check the split and the camera numbers. If all images are of one "
    "camera, or the camera is unknown, count matches within a camera too (a match may then be the next frame "
    "of the query): --set evaluate.cameras=ignore."
)


@dataclasses.dataclass(frozen=True)
class Result:
    """The measures of a retrieval, as fractions.

    Args:
        cmc: (max_rank,), the share of queries with a correct match among the first 1, 2, ... .
        mAP: mean average precision, over the whole ranked list.
        mINP: mean inverse negative penalty (Ye et al., 2021): number of matches / rank of the last match.
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
    """Return the measures of a retrieval, as the protocol of Market-1501 defines them.

    Args:
        distmat: (Q, G), smaller is nearer.
        q_pids, q_camids: (Q,), identity and camera of each query.
        g_pids, g_camids: (G,), of each gallery image.
        max_rank: length of the CMC curve; it stays level where the gallery is shorter.
        trapezoid: compute average precision as Market-1501's first code does, by trapezoids under the precision-recall
            curve, and not as the mean of the precisions at the correct matches.

    Raises:
        TrainingError: for an empty gallery, sizes that do not agree, distances that are NaN, or when no query has a
            match in another camera.
    """
    labels = Labels(*map(np.asarray, (q_pids, g_pids, q_camids, g_camids)))
    return measure(find_matches(np.asarray(distmat), labels), max_rank, trapezoid)


def measure(matches: Matches, max_rank: int = 50, trapezoid: bool = False) -> Result:
    """Return every measure from the ranks of the correct matches; arguments as for `evaluate`.

    Raises TrainingError if no query has a match.
    """
    counted = matches.counts > 0
    counts, starts, ranks = matches.counts[counted], matches.starts, matches.ranks
    if not len(counts):
        raise TrainingError(NO_MATCH)
    nth = np.arange(len(ranks)) - np.repeat(starts, counts) + 1  # 1, 2, ... within each query
    ap = np.full(len(counted), np.nan)
    ap[counted] = np.add.reduceat(_precision(nth, ranks, trapezoid), starts) / counts
    first, last = ranks[starts], ranks[starts + counts - 1]
    # CMC(k) is the share of queries whose first match has a rank of at most k: a cumulated histogram of first matches.
    cmc = np.cumsum(np.bincount(first, minlength=max_rank + 1)[1 : max_rank + 1]) / len(counts)
    return Result(
        cmc,
        float(ap[counted].mean()),
        float((counts / last).mean()),
        ap,
        len(counts),
        int((~counted).sum()),
    )


def _precision(nth: np.ndarray, ranks: np.ndarray, trapezoid: bool) -> NDArray[np.float64]:
    """Return what the n-th match of a query, at rank r, adds to its average precision: the precision n / r there.

    By trapezoids it is the mean of that and of the precision one rank before, (n - 1) / (r - 1), which is 1 at the
    start of the curve.
    """
    precision = nth / ranks
    if trapezoid:
        before = np.where(ranks > 1, (nth - 1) / np.maximum(ranks - 1, 1), 1.0)
        precision = (precision + before) / 2
    return np.asarray(precision)


def chance(matches: Matches, repeats: int = REPEATS, seed: int = 0, trapezoid: bool = False) -> float:
    """Return the mAP of random rankings of the same queries and gallery, the mean over `repeats` of them."""
    generator = np.random.default_rng(seed)
    total = 0.0
    for count, ranked in zip(matches.counts, matches.ranked, strict=True):
        if count == 0:
            continue
        # The ranks of n matches among M images are, in a random ranking, a random n-subset of 1..M. Floyd's algorithm
        # samples it for all repeats at once: for each upper bound M-n+1 ... M it takes a number up to the bound, or the
        # bound itself where that number is taken already.
        ranks = np.zeros((repeats, count), np.int64)
        for sampled in range(count):
            bound = ranked - count + sampled + 1
            pick = generator.integers(1, bound + 1, repeats)
            taken = (ranks[:, :sampled] == pick[:, None]).any(1)
            ranks[:, sampled] = np.where(taken, bound, pick)
        ranks.sort(axis=1)
        total += float(_precision(np.arange(1, count + 1), ranks, trapezoid).mean())
    return total / int((matches.counts > 0).sum())
