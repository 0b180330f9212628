"""Paired bootstrap over persons: the interval of a difference in mAP between two rows on the same queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


class Interval(NamedTuple):
    """A difference in mAP, a fraction, with its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


def paired_difference(
    one: NDArray[np.float64], other: NDArray[np.float64], pids: NDArray[np.integer], resamples: int, seed: int
) -> Interval:
    """Return the mean of `one` minus `other` over queries, with its percentile interval.

    Persons are resampled with replacement, and all queries of a person together: they are not independent.

    Args:
        one, other: average precision of each query (Q,); NaN for a query without a match, which is left out.
        pids: identity of each query (Q,).
    """
    counted = np.isfinite(one) & np.isfinite(other)
    difference, persons = (one - other)[counted], np.unique(pids[counted], return_inverse=True)[1]
    sums, counts = np.bincount(persons, difference), np.bincount(persons)  # (persons,) each
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for n in range(resamples):
        sample = rng.integers(0, len(sums), len(sums))
        means[n] = sums[sample].sum() / counts[sample].sum()
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(difference.mean()), float(low), float(high))
