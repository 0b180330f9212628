"""Single-gallery-shot, the classic protocol of CUHK01 and CUHK03: one picture of each identity stands in the gallery.

Which one is drawn, several times over, and the mean is reported. A repetition draws one gallery for all queries;
only of the query's own identity another picture is drawn where the first is of the query's own camera. Ties are as in
`metrics`: the wrong ones come first.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .metrics import Matches, Result, check, measure, same_pid


def draw_orders(G: int, repeats: int, seed: int) -> np.ndarray:
    """Return int64 (R, G): in each repetition, who goes before whom when one picture of an identity is taken."""
    generator = np.random.default_rng(seed)
    return generator.permuted(np.tile(np.arange(G), (repeats, 1)), axis=1)


def evaluate_single_shot(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int = 50,
    repeats: int = 10,
    seed: int = 0,
) -> Result:
    """Measure a retrieval with one gallery picture an identity; arguments and errors as for `metrics.evaluate`."""
    orders = draw_orders(len(g_pids), repeats, seed)
    matches = find_drawn_matches(distmat, q_pids, g_pids, q_camids, g_camids, orders)
    return measure_drawn(matches, repeats, max_rank)


def find_drawn_matches(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    orders: np.ndarray,
) -> Matches:
    """Return where the one right picture stands, R entries a query, one for each repetition in `orders` (R, G)."""
    check(distmat, q_pids, g_pids, q_camids, g_camids)
    taken = _drawn(distmat, q_pids, g_pids, q_camids, g_camids, orders)  # (Q, R)
    counted = taken[:, 0] >= 0
    right = np.take_along_axis(distmat, np.maximum(taken, 0), axis=1)  # (Q, R)
    ranks = np.ones(taken.shape, np.int64)
    for repeat, order in enumerate(orders):
        by_pid = np.lexsort((order, g_pids))
        pids, first = np.unique(g_pids[by_pid], return_index=True)
        gallery = by_pid[first]  # (P,), one picture of each identity
        no_farther = distmat[:, gallery] <= right[:, repeat, None]  # (Q, P)
        ranks[:, repeat] += (no_farther & (pids != q_pids[:, None])).sum(axis=1)
    repeats = len(orders)
    return Matches(
        ranks[counted].ravel(),
        np.repeat(counted.astype(np.int64), repeats),
        np.full(len(q_pids) * repeats, len(np.unique(g_pids))),
    )


def measure_drawn(matches: Matches, repeats: int, max_rank: int = 50, trapezoid: bool = False) -> Result:
    """Compute the means over queries and repetitions of what `find_drawn_matches` found."""
    result = measure(matches, max_rank, trapezoid)
    return dataclasses.replace(
        result,
        ap=result.ap.reshape(-1, repeats).mean(axis=1),
        queries=result.queries // repeats,
        left_out=result.left_out // repeats,
    )


def _drawn(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    orders: np.ndarray,
) -> np.ndarray:
    """Return each query's right picture in each repetition, (Q, R); -1 where another camera has none."""
    taken = np.full((len(q_pids), len(orders)), -1)
    for query, same in enumerate(same_pid(q_pids, g_pids)):
        right = same[g_camids[same] != q_camids[query]]
        if len(right):
            taken[query] = right[orders[:, right].argmin(axis=1)]
    return taken
