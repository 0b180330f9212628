"""Single-gallery-shot, the classic protocol of CUHK01 and CUHK03: the gallery has one image of each identity.

That image is sampled at random, `repeats` times, and the mean is reported. A repetition samples one gallery for all
queries; only for the query's own identity another image is sampled where the first is of the query's own camera. Ties
are resolved as in `matches`: the false matches come first.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .matches import Labels, Matches
from .metrics import Result, measure


def sample_orders(G: int, repeats: int, seed: int) -> NDArray[np.int64]:
    """Return int64 (R, G): in each repetition a random order of the gallery; an identity's first image is taken."""
    generator = np.random.default_rng(seed)
    return generator.permuted(np.tile(np.arange(G), (repeats, 1)), axis=1)


def find_sampled_matches(distmat: np.ndarray, labels: Labels, orders: np.ndarray) -> Matches:
    """Return the rank of each query's one match in every sampled gallery: R entries a query that has a match.

    Args:
        distmat: (Q, G), smaller is nearer.
        orders: (R, G), of `sample_orders`.

    Raises TrainingError as `Labels.check` does.
    """
    labels.check(distmat)
    columns = _sampled_columns(labels, orders)  # (Q, R)
    counted = columns[:, 0] >= 0
    correct = np.take_along_axis(distmat, np.maximum(columns, 0), axis=1)  # (Q, R), distances
    ranks = np.ones(columns.shape, np.int64)
    for repeat, order in enumerate(orders):
        # Sorted by identity and, within one, by the random order, an identity's first image is the sampled one. The
        # match's rank is 1 + the other identities whose image is no farther.
        by_pid = np.lexsort((order, labels.g_pids))
        pids, first = np.unique(labels.g_pids[by_pid], return_index=True)
        gallery = by_pid[first]  # (P,), one image of each identity
        no_farther = distmat[:, gallery] <= correct[:, repeat, None]  # (Q, P)
        ranks[:, repeat] += (no_farther & (pids != labels.q_pids[:, None])).sum(axis=1)
    repeats = len(orders)
    return Matches(
        ranks[counted].ravel(),
        np.repeat(counted.astype(np.int64), repeats),
        np.full(len(labels.q_pids) * repeats, len(np.unique(labels.g_pids))),
    )


def measure_sampled(matches: Matches, repeats: int, max_rank: int = 50, trapezoid: bool = False) -> Result:
    """Return the means over queries and repetitions of the matches that `find_sampled_matches` found."""
    result = measure(matches, max_rank, trapezoid)
    return dataclasses.replace(
        result,
        ap=result.ap.reshape(-1, repeats).mean(axis=1),
        queries=result.queries // repeats,
        left_out=result.left_out // repeats,
    )


def _sampled_columns(labels: Labels, orders: np.ndarray) -> NDArray[np.int64]:
    """Return the column of each query's match in each repetition, (Q, R); -1 where no other camera saw the person."""
    columns = np.full((len(labels.q_pids), len(orders)), -1)
    for query, same in enumerate(labels.same_pid()):
        matches = same[~labels.left_out(query, same)]
        if len(matches):
            columns[query] = matches[orders[:, matches].argmin(axis=1)]
    return columns
