"""Linear discriminant analysis in closed form: a projection in which images of a person are near each other.

Fisher 1936, with a ridge (Friedman 1989): the within-class scatter is S_w + ridge · mean(diag S_w) · I.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Reals = NDArray[np.floating]


class Scatter(NamedTuple):
    """Statistics of features (N, D) by class: the mean (D,), and scatter within and between classes (D, D)."""

    mean: Reals
    within: Reals
    between: Reals


def scatter(features: Reals, labels: NDArray[np.integer]) -> Scatter:
    """Return the scatter of features (N, D) by their labels (N,), in float64, divided by N."""
    X = np.asarray(features, np.float64)
    mean = X.mean(0)
    X = X - mean
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    means = np.add.reduceat(X[order], np.cumsum(counts) - counts) / counts[:, None]  # (classes, D)
    weighted = means * np.sqrt(counts)[:, None]
    between = weighted.T @ weighted
    return Scatter(mean, (X.T @ X - between) / len(X), between / len(X))


def projection(statistics: Scatter, ridge: float, dimensions: int) -> Reals:
    """Return the projection (D, d), d = min(dimensions, D), with the most scatter between classes for that within.

    A direction in which the scatter between classes is λ times that within is scaled to λ / (1 + λ), as in ridge
    regression to class indicators: without it, directions that distinguish few persons count as much as the best.
    """
    diagonal = max(float(np.diag(statistics.within).mean()), 1e-12)
    within = statistics.within + ridge * diagonal * np.eye(len(statistics.within))
    most = min(dimensions, len(within))
    part = (len(within) - most, len(within) - 1)
    ratios, vectors = scipy.linalg.eigh(statistics.between, within, subset_by_index=part)
    ratios = ratios.clip(min=0)
    return np.asarray(vectors * (ratios / (1 + ratios)))


def projected(features: Reals, mean: Reals, matrix: Reals) -> NDArray[np.float32]:
    """Return features (N, D) in the projection: float32 (N, d), each of length one."""
    values = (np.asarray(features, np.float64) - mean) @ matrix
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norm, 1e-12), np.float32)
