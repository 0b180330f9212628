"""torchreid's evaluation, written from its published description (Market-1501's protocol), a loop over the queries.

`torchreid.metrics.rank.eval_market1501` sorts each row, removes gallery images of the query's person and camera, leaves
out a query without a match, and averages the precision at each match. CMC counts a query at rank k if one of its
first k images matches. Distances are squared Euclidean, or one minus the cosine of normalised features.
"""

import numpy as np


def distances(query, gallery, metric):
    """Return (Q, G)."""
    query, gallery = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "cosine":
        query, gallery = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, gallery))
        return 1 - query @ gallery.T
    return ((query[:, None] - gallery[None]) ** 2).sum(2)


def evaluated(distmat, q_pids, g_pids, q_camids, g_camids, max_rank=50):
    """Return the CMC curve, up to `max_rank` or the gallery's length, mAP, and the AP of each query that counts."""
    curves, precisions = [], []
    for distance, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        ranked = sorted(range(len(g_pids)), key=lambda column: distance[column])
        kept = [n for n in ranked if not (g_pids[n] == pid and g_camids[n] == camid)]
        hits = [g_pids[n] == pid for n in kept]
        if not any(hits):
            continue
        first = hits.index(True)
        curves.append([rank >= first for rank in range(min(max_rank, len(g_pids)))])
        found, total = 0, 0.0
        for rank, hit in enumerate(hits, start=1):
            found += hit
            total += hit * found / rank
        precisions.append(total / found)
    return np.mean(curves, axis=0), float(np.mean(precisions)), precisions
