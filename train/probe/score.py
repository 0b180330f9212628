"""Average precision of pooled features after a discriminant analysis of the training identities."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..evaluation.config import EvaluateConfig
from ..evaluation.distmat import blocks
from ..evaluation.matches import Labels, find_matches, joined
from ..evaluation.metrics import Result, measure
from .config import ProbeConfig
from .discriminant import Reals, projected, projection, scatter

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class Split:
    """Some images: their indices among all, identities and camera numbers, (n,) each."""

    indices: NDArray[np.int64]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]

    def select(self, chosen: NDArray[np.bool_]) -> Split:
        """Return the images for which `chosen` (n,) is true."""
        return Split(self.indices[chosen], self.pids[chosen], self.camids[chosen])


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images of a dataset, and which training identities choose the ridge.

    Attributes:
        held_out: training images of identities that are held out for the choice.
        kept: training images of the other identities.
    """

    train: Split
    query: Split
    gallery: Split
    held_out: Split
    kept: Split


def hold_out(train: Split, share: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Return training images of sampled identities, at least one, and those of the others, at least one."""
    persons = np.unique(train.pids)
    count = min(max(1, round(share * len(persons))), len(persons) - 1)
    chosen = np.isin(train.pids, rng.choice(persons, count, replace=False))
    return train.select(chosen), train.select(~chosen)


def score(features: Reals, splits: Splits, evaluation: EvaluateConfig, config: ProbeConfig) -> tuple[Result, float]:
    """Return the measures of features (N, D) on query and gallery, and the ridge that was chosen.

    The projection is fitted to the training identities. Its ridge is the one with the highest mAP among held-out
    training identities of a projection that was fitted to the others.

    Raises TrainingError if no query has a match.
    """
    ridge = _best_ridge(features, splits, evaluation, config)
    statistics = scatter(features[splits.train.indices], splits.train.pids)
    matrix = projection(statistics, ridge, config.dimensions)
    query, gallery = (
        projected(features[side.indices], statistics.mean, matrix) for side in (splits.query, splits.gallery)
    )
    return _measured(query, gallery, splits.query, splits.gallery, evaluation.memory), ridge


def _best_ridge(features: Reals, splits: Splits, evaluation: EvaluateConfig, config: ProbeConfig) -> float:
    if len(config.ridges) == 1:
        return config.ridges[0]
    statistics = scatter(features[splits.kept.indices], splits.kept.pids)
    found = []
    for ridge in config.ridges:
        matrix = projection(statistics, ridge, config.dimensions)
        held = projected(features[splits.held_out.indices], statistics.mean, matrix)
        found.append(_measured(held, held, splits.held_out, splits.held_out, evaluation.memory).mAP)
    return config.ridges[int(np.argmax(found))]


def _measured(query: NDArray[np.float32], gallery: NDArray[np.float32], q: Split, g: Split, memory: float) -> Result:
    labels = Labels(q.pids, g.pids, q.camids, g.camids)
    parts = [
        find_matches(distmat, labels.select(queries))
        for queries, distmat in blocks(query, gallery, "cosine", CPU, memory)
    ]
    return measure(joined(parts))


def mean_ap(results: Sequence[Result]) -> NDArray[np.float64]:
    """Return the average precision of each query (Q,), the mean over repetitions."""
    return np.asarray(np.mean([one.ap for one in results], axis=0))
