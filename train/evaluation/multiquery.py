"""Multi-query: all pictures of a person from the query's camera ask together (Zheng et al., ICCV 2015)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dsa_app.errors import TrainingError


def pooled(
    query: np.ndarray,
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    more: np.ndarray,
    m_pids: np.ndarray,
    m_camids: np.ndarray,
    how: Literal["average", "maximum"],
) -> np.ndarray:
    """Return the features of multi-queries.

    Args:
        query: (Q, D), features of length L. A query with no further picture stands for itself.
        q_pids, q_camids: (Q,).
        more: (M, D), features of the further pictures; where they include the query's own, as Market-1501's
            `gt_bbox` does, it counts as one of them.
        m_pids, m_camids: (M,).
        how: the mean over all pictures of one person from one camera, or the maximum of each dimension.

    Returns:
        float32 (Q, D), each as long as the query's own feature.

    Raises TrainingError if no query has a further picture.
    """
    result = np.array(query, np.float32)
    grouped: dict[tuple[int, int], list[int]] = {}
    for place, whose in enumerate(zip(m_pids.tolist(), m_camids.tolist(), strict=True)):
        grouped.setdefault(whose, []).append(place)
    alone = 0
    for place, whose in enumerate(zip(q_pids.tolist(), q_camids.tolist(), strict=True)):
        if whose not in grouped:
            alone += 1
            continue
        group = more[grouped[whose]]
        together = group.mean(axis=0) if how == "average" else group.max(axis=0)
        result[place] = together * (np.linalg.norm(query[place]) / (np.linalg.norm(together) or 1.0))
    if alone == len(query):
        raise TrainingError(
            "No query has a further picture of its person from its camera, so there is nothing to ask with. "
            "Leave evaluate.multiquery at off, or list the pictures again: dsa-data prepare."
        )
    return result
