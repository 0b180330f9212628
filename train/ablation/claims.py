"""What a set of paired results says of the paper's claims: differences by seed, their interval, and a verdict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95  # of the intervals
Verdict = Literal["holds", "does not hold", "reversed", "cannot be told"]


class Difference(NamedTuple):
    """One result minus another, seed by seed; the interval is Student's, of the mean, at 95%.

    With a single seed there is no interval: `low` and `high` are infinite.
    """

    seeds: int
    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Result:
    """One row of a table, trained from several seeds.

    Args:
        mAP, rank1: fractions by seed.
    """

    name: str
    seeds: Sequence[int]
    mAP: Sequence[float]  # noqa: N815 - the field's name
    rank1: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Claim:
    """An ordering that the paper's tables show: `better` above `worse`, in mAP.

    Args:
        as_good: that `better` is no worse, by more than this many points of mAP (a fraction); None for above.
        paper: the difference that the paper has, in points of mAP; None for what it did not measure.
    """

    says: str
    better: str
    worse: str
    as_good: float | None = None
    paper: float | None = None


def difference(one: Result, other: Result) -> Difference:
    """Return what `one` has over `other` in mAP, over the seeds that both have."""
    return interval(differences(one, other))


def differences(one: Result, other: Result) -> list[float]:
    """Return what `one` has over `other` in mAP, seed by seed."""
    first, second = (dict(zip(result.seeds, result.mAP, strict=True)) for result in (one, other))
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def interval(values: Sequence[float]) -> Difference:
    """Return the mean of paired differences with its interval (Student 1908)."""
    count = len(values)
    if not count:
        return Difference(0, math.nan, -math.inf, math.inf)
    mean = float(np.mean(values))
    if count == 1:
        return Difference(1, mean, -math.inf, math.inf)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Difference(count, mean, mean - reach, mean + reach)


def verdict(found: Difference, as_good: float | None = None) -> Verdict:
    """Return what an interval says of "above", or of "no worse by more than `as_good`".

    "holds" and "reversed" where the whole interval is on one side; where it is on neither, "does not hold" if the mean
    itself is on the wrong side, else "cannot be told": the seeds are too few.
    """
    bound = -as_good if as_good is not None else 0.0
    if found.low > bound:
        return "holds"
    if found.high < bound:
        return "reversed"
    return "cannot be told" if found.mean > bound else "does not hold"
