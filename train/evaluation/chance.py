"""What random rankings would show, exactly: the CMC curve and mINP, beside which a result is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .matches import Matches


def chance_cmc(matches: Matches, max_rank: int = 50) -> NDArray[np.float64]:
    """Return the expected CMC curve of random rankings of the same queries and gallery, fractions (max_rank,).

    Of M images with c matches among them, none is among the first k with the probability C(M - c, k) / C(M, k).
    """
    curve, queries = np.zeros(max_rank), 0
    ranks = np.arange(max_rank)
    for count, ranked, times in _kinds(matches):
        left = np.maximum(ranked - ranks, 1)  # the curve stays level where the gallery is shorter
        missed = np.cumprod(np.clip((ranked - count - ranks) / left, 0, None))
        curve += times * (1 - missed)
        queries += times
    return curve / max(queries, 1)


def chance_minp(matches: Matches) -> float:
    """Return the expected mINP of random rankings of the same queries and gallery.

    Of M images with c matches among them, the last match has the rank r with the probability C(r - 1, c - 1) / C(M, c).
    """
    total, queries = 0.0, 0
    for count, ranked, times in _kinds(matches):
        rank = np.arange(count, ranked + 1, dtype=float)
        chance = np.exp(_log_choose(rank - 1, count - 1) - _log_choose(float(ranked), count))
        total += times * float((count / rank * chance).sum())
        queries += times
    return total / max(queries, 1)


def _kinds(matches: Matches) -> list[tuple[int, int, int]]:
    """Return how many queries have how many matches among how many images: (matches, images, queries), few rows."""
    counted = matches.counts > 0
    pairs = np.stack([matches.counts[counted], matches.ranked[counted]], axis=1)
    kinds, times = np.unique(pairs, axis=0, return_counts=True)
    return [(int(count), int(ranked), int(n)) for (count, ranked), n in zip(kinds, times, strict=True)]


def _log_choose(n: NDArray[np.float64] | float, k: int) -> NDArray[np.float64]:
    """Return the logarithm of the binomial coefficient of n over k."""
    return np.asarray(gammaln(np.asarray(n) + 1) - gammaln(k + 1) - gammaln(np.asarray(n) - k + 1))
