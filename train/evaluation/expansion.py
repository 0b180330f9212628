"""Query expansion: a feature is averaged with those of its nearest gallery pictures, weighted by likeness^α.

Average query expansion (Chum et al., ICCV 2007) has α = 0; α-QE is Radenović et al.'s (TPAMI 2019).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt

from dsa_app.config import config

from .distmat import Rows, blocks


@config
class ExpansionConfig:
    """Off by default, as in the paper.

    Attributes:
        neighbours: gallery pictures that are joined to each query; 0 for none.
        alpha: weight of a neighbour is its cosine to the query, if positive, to this power; 0 weights all alike.
    """

    neighbours: NonNegativeInt = 0
    alpha: NonNegativeFloat = 3.0


def expanded(
    query: np.ndarray, gallery: Rows, settings: ExpansionConfig, device: torch.device, memory: float
) -> np.ndarray:
    """Return the features of queries (Q, D), expanded by their nearest of a gallery (G, D), as long as they were.

    The nearest are found by cosine, over the whole gallery: nobody's identity or camera is looked at.
    """
    if not settings.neighbours:
        return query
    result = np.empty(query.shape, np.float32)
    count = min(settings.neighbours, gallery.shape[0])
    for some, distmat in blocks(query, gallery, "cosine", device, memory):
        for place, row in zip(range(some.start, some.stop), distmat, strict=True):
            nearest = np.argpartition(row, count - 1)[:count]
            near = np.stack([np.asarray(gallery[n : n + 1], np.float32)[0] for n in nearest])  # (count, D)
            weight = np.clip(1 - row[nearest], 0, None) ** settings.alpha  # 0 ** 0 is 1
            total = query[place] + weight @ near
            length = np.linalg.norm(total) or 1.0
            result[place] = total * (np.linalg.norm(query[place]) / length)
    return result
