"""Claims tested on paired results: differences by seed, their confidence interval, and a verdict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats has it too, and takes a second to import

LEVEL = 0.95  # of the intervals
Verdict = Literal["holds", "does not hold", "reversed", "inconclusive"]


class Difference(NamedTuple):
    """The mean of one result minus another over paired seeds, with Student's 95% confidence interval of the mean.

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
        as_good: the claim is that `better` is not worse by more than this (mAP, a fraction); None if it is above.
        paper: the difference in the paper, in points of mAP; None if it does not report it.
    """

    words: str
    better: str
    worse: str
    as_good: float | None = None
    paper: float | None = None


def difference(one: Result, other: Result) -> Difference:
    """Return the mAP of `one` minus that of `other`, over the seeds that both have."""
    return interval(differences(one, other))


def differences(one: Result, other: Result) -> list[float]:
    """Return the mAP of `one` minus that of `other`, seed by seed."""
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
    reach = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Difference(count, mean, mean - reach, mean + reach)


def verdict(measured: Difference, as_good: float | None = None) -> Verdict:
    """Return whether a claim holds: that the difference is above 0, or not worse than -`as_good`.

    "holds" and "reversed" where the whole interval is on one side of that bound; where it is on both, "does not hold"
    if the mean is on the wrong side, else "inconclusive": the seeds are too few.
    """
    bound = -as_good if as_good is not None else 0.0
    if measured.low > bound:
        return "holds"
    if measured.high < bound:
        return "reversed"
    return "inconclusive" if measured.mean > bound else "does not hold"
