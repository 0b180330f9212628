"""Same person or not, by a threshold on the distance: ROC and its points, thresholds, open-set search, calibration."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_reid.calibration import Calibration

from .calibrate import Reliability, pair_reliability, reliability
from .config import EvaluateConfig
from .matches import Labels
from .pair_counts import Counts, Curve, PairCounter, Pairs
from .retrieval import Side, labels_of, ranked

RATES = (1e-2, 1e-3, 1e-4)  # false-match rates of pairs
ALARMS = (0.01, 0.1)  # false alarms of searches for people who are not in the gallery
RESAMPLES, SEED, LEVEL = 500, 0, 0.95


class Threshold(NamedTuple):
    """The greatest distance at which at most `rate` of the pairs of different people count as the same.

    `low` and `high` are its 95% interval over people; `share` of the pairs of the same person are within it.
    """

    rate: float
    distance: float
    low: float
    high: float
    share: float


class OpenSet(NamedTuple):
    """Searches for people who may not be in the gallery.

    Attributes:
        detected: (false-alarm rate, share): a person who is in the gallery is found first, within the distance at which
            so large a share of searches for absent people finds somebody (detection and identification rate).
        reliability: of P(present), over searches with and without the person; None without calibration.
        nobody: of the searches answered "nobody here", P below 1/2: their number, the promised share that is right,
            the share that is, and its 95% interval over people; None without calibration, or where there are none.
    """

    detected: list[tuple[float, float]]
    reliability: Reliability | None
    nobody: dict[str, float] | None


@dataclasses.dataclass(frozen=True)
class SameOrNot:
    """The measures of "same or not".

    Args:
        pairs: that were counted.
        auc, eer: area under the ROC curve; the rate at which false matches and false non-matches are equally frequent.
        thresholds: for the false-match rates that so many pairs can show.
        open_set: searches for people who may not be there.
        reliability: of P(same) over pairs, same and different ones weighing alike; None without calibration.
    """

    pairs: Pairs
    auc: float
    eer: float
    thresholds: list[Threshold]
    open_set: OpenSet
    reliability: Reliability | None

    def measures(self) -> dict[str, Any]:
        """Return the measures as plain values."""
        return {
            "same_pairs": int(self.pairs.curve.same.sum()),
            "different_pairs": int(self.pairs.curve.different.sum()),
            "auc": self.auc,
            "eer": self.eer,
            "thresholds": [one._asdict() for one in self.thresholds],
            "cameras": [
                {"query": q, "gallery": g, "auc": area(curve), "eer": equal_error_rate(curve)}
                for (q, g), curve in self.pairs.by_cameras.items()
            ],
            "open_set": [{"false_alarms": rate, "detected": share} for rate, share in self.open_set.detected],
            "nobody": self.open_set.nobody,
            "presence_calibration": self.open_set.reliability and self.open_set.reliability.measures(),
            "calibration": self.reliability and self.reliability.measures(),
        }


class Searches:
    """For every query: nearest match, nearest false image, and the odds of presence with the matches and without."""

    def __init__(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self.rows: list[tuple[int, float, float, float, float]] = []  # pid, match, false, log odds

    def add_block(self, distmat: np.ndarray, labels: Labels) -> None:
        """Add some queries, whose rows (n, G) of the distance matrix are given."""
        for query, (row, pid) in enumerate(zip(distmat, labels.q_pids.tolist(), strict=True)):
            own = labels.g_pids == pid
            use = ~own | ~labels.left_out(query)
            match, false = row[own & use], row[~own]
            if not len(false):
                continue
            with_person, without = np.nan, np.nan
            if self._calibration is not None:
                without, with_person = (float(self._calibration.presence_odds(row[some])) for some in (~own, use))
            self.rows.append((pid, match.min() if len(match) else np.inf, false.min(), with_person, without))

    def result(self) -> OpenSet:
        """Return the measures of all searches."""
        pids, match, false, with_person, without = (np.array(column) for column in zip(*self.rows, strict=True))
        there = np.isfinite(match)
        detected = []
        for rate in ALARMS:
            limit = np.quantile(false, rate, method="lower")
            detected.append((rate, float(((match <= limit) & (match < false))[there].mean()) if there.any() else 0.0))
        if self._calibration is None:
            return OpenSet(detected, None, None)
        truth = np.concatenate([np.ones(there.sum(), bool), np.zeros(len(pids), bool)])
        people = np.concatenate([pids[there], pids])
        chances = 1 / (1 + np.exp(-np.concatenate([with_person[there], without])))
        weight = np.where(truth, 0.5 / max(truth.sum(), 1), 0.5 / (~truth).sum())  # as likely as not
        return OpenSet(
            detected, reliability(chances, weight * truth, weight * ~truth), _nobody(chances, truth, weight, people)
        )


def same_or_not(
    query: Side,
    gallery: Side,
    config: EvaluateConfig,
    device: torch.device,
    calibration: Calibration | None = None,
) -> SameOrNot:
    """Compare every query with every gallery image. Errors as for `retrieval.compare`.

    Args:
        calibration: of the model that made the features; None for distances that have none.
    """
    labels = labels_of(query, gallery, config)
    counter, found = PairCounter(), Searches(calibration)
    for queries, distmat in ranked(query, gallery, config, device):
        some = labels.select(queries)
        some.check(distmat)
        counter.add(distmat, some)
        found.add_block(distmat, some)
        del distmat  # otherwise the next block is made while this one is in memory
    pairs = counter.result()
    return SameOrNot(
        pairs,
        area(pairs.curve),
        equal_error_rate(pairs.curve),
        thresholds(pairs),
        found.result(),
        pair_reliability(pairs.curve, calibration) if calibration else None,
    )


def rates(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the false-match rate and the true-match rate at each of its distances, (K,) each; the ROC curve."""
    return curve.different.cumsum() / max(curve.different.sum(), 1), curve.same.cumsum() / max(curve.same.sum(), 1)


def area(curve: Curve) -> float:
    """Return the area under the ROC curve: how often a pair of one person is nearer than one of two, ties half."""
    before = curve.same.cumsum() - curve.same / 2
    total = curve.same.sum() * curve.different.sum()
    return float((curve.different * before).sum() / total) if total else float("nan")


def equal_error_rate(curve: Curve) -> float:
    """Return the rate at which false matches and false non-matches are equally frequent, interpolated."""
    false, true = (np.concatenate([[0.0], one]) for one in rates(curve))
    at = int(np.argmax(false >= 1 - true))  # the last is 1 and 0
    gap = 1 - true - false
    between = gap[at - 1] / (gap[at - 1] - gap[at]) if at else 0.0
    return float(false[at - 1] + between * (false[at] - false[at - 1])) if at else 0.0


def thresholds(pairs: Pairs, wanted: tuple[float, ...] = RATES, least: int = 10) -> list[Threshold]:
    """Return the distance for each wanted false-match rate that is shown by at least `least` pairs, with intervals.

    People, the identities of the queries, are resampled with replacement, each with all of its pairs.
    """
    curve, total = pairs.curve, int(pairs.curve.different.sum())
    shown = [rate for rate in wanted if rate * total >= least]
    at = _indices(curve.different[None], shown)[0]
    people = len(pairs.different)
    generator = np.random.default_rng(SEED)
    weights = generator.multinomial(people, np.full(people, 1 / people), RESAMPLES)
    drawn = np.concatenate([_indices(some @ pairs.different, shown) for some in np.array_split(weights, 10)])
    found = []
    true = rates(curve)[1]
    for n, rate in enumerate(shown):
        distances = _distance(curve, drawn[:, n])
        low, high = np.quantile(distances, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), method="nearest")
        share = float(true[at[n]]) if at[n] >= 0 else 0.0
        found.append(Threshold(rate, float(_distance(curve, at[n : n + 1])[0]), float(low), float(high), share))
    return found


def _indices(different: Counts, wanted: list[float]) -> Counts:
    """Return for each row of counts (R, K) the last bin within each wanted rate, (R, rates); -1 before the first."""
    sums = different.cumsum(1)
    limits = np.outer(sums[:, -1], wanted)
    return np.stack([np.searchsorted(row, limit, side="right") - 1 for row, limit in zip(sums, limits, strict=True)])


def _distance(curve: Curve, at: Counts) -> NDArray[np.float64]:
    """Return the upper ends of bins; below all distances for -1."""
    return np.where(at >= 0, curve.values[np.maximum(at, 0)], np.nextafter(curve.middles[0], -np.inf))


def _nobody(
    chances: NDArray[np.float64], truth: NDArray[np.bool_], weight: NDArray[np.float64], people: Counts
) -> dict[str, float] | None:
    """Return what the searches that are answered "nobody here" promise, and how many of them are right."""
    answered = chances < 0.5
    if not answered.any():
        return None
    _, person = np.unique(people, return_inverse=True)
    right = np.bincount(person, weight * (answered & ~truth))
    all_of_them = np.bincount(person, weight * answered)
    generator = np.random.default_rng(SEED)
    drawn = generator.multinomial(len(right), np.full(len(right), 1 / len(right)), RESAMPLES)
    shares = (drawn @ right) / np.maximum(drawn @ all_of_them, 1e-12)
    low, high = np.quantile(shares, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return {
        "searches": int(answered.sum()),
        "promised": float((weight * (1 - chances))[answered].sum() / weight[answered].sum()),
        "right": float(right.sum() / all_of_them.sum()),
        "low": float(low),
        "high": float(high),
    }
