"""Query expansion: a query's feature is averaged with those of its nearest gallery images, weighted by cosine^α.

Average query expansion (Chum et al., ICCV 2007) has α = 0; α-QE is Radenović et al.'s (TPAMI 2019).
"""

from __future__ import annotations

import numpy as np
import torch

from .config import ExpansionConfig
from .distmat import Rows, blocks


def expanded(
    query: np.ndarray, gallery: Rows, settings: ExpansionConfig, device: torch.device, memory: float
) -> np.ndarray:
    """Return the features of queries (Q, D), expanded by their nearest of a gallery (G, D), with their lengths kept.

    The nearest are found by cosine over the whole gallery; identities and cameras are not used.
    """
    if not settings.neighbours:
        return query
    result = np.empty(query.shape, np.float32)
    count = min(settings.neighbours, gallery.shape[0])
    for queries, distmat in blocks(query, gallery, "cosine", device, memory):
        for index, row in zip(range(queries.start, queries.stop), distmat, strict=True):
            nearest = np.argpartition(row, count - 1)[:count]
            near = np.stack([np.asarray(gallery[n : n + 1], np.float32)[0] for n in nearest])  # (count, D)
            weight = np.clip(1 - row[nearest], 0, None) ** settings.alpha  # 0 ** 0 is 1
            total = query[index] + weight @ near
            length = np.linalg.norm(total) or 1.0
            result[index] = total * (np.linalg.norm(query[index]) / length)
    return result
