"""Fitting P(in the gallery): searches for held-out people, with their images in the gallery and without.

The gallery of these searches is everyone who is known, the people of the training too: those who resemble a held-out
person are among them, as in a real gallery. It is thinned to several sizes, from which the law of the size is fitted.
How many images of a person a gallery has is not known, so that a search has from one to all of them, equally often.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from dsa_reid.calibration import Calibration
from dsa_reid.presence import MOST, Presence

from .config import EvaluateConfig
from .matches import Labels
from .retrieval import Side, labels_of, ranked

SIZES = (0.125, 0.25, 0.5, 1.0)  # shares of everyone's images that are searched
SEARCHES = 2000  # at least so many of each kind and size: a query of few is repeated
FOLDS = 5  # of people, for the confidence
SEED = 0
Floats = NDArray[np.float64]
BOUNDS = ((0.0, MOST), (0.0, 1.0), (None, None), (0.0, 1.0), (0.0, 1.0))  # of the fields of `Presence`


class PresenceSearches:
    """Searches of galleries of several sizes, each with the query's person and without.

    Attributes:
        rows: a search each: person, whether it is in the gallery, images in the gallery, the log likelihood ratio of
            the nearest, and the one expected for this query.
    """

    def __init__(self, calibration: Calibration, repeats: int = 1) -> None:
        self._calibration, self._repeats = calibration, repeats
        self._generator = np.random.default_rng(SEED)
        self.rows: list[tuple[int, bool, int, float, float]] = []

    def add_block(self, distmat: np.ndarray, labels: Labels) -> None:
        """Add some queries, whose rows (n, G) of the distance matrix are given. One without a match has no search."""
        for query, (row, pid) in enumerate(zip(distmat, labels.q_pids.tolist(), strict=True)):
            own = labels.g_pids == pid
            matches, others = row[own & ~labels.left_out(query)], row[~own]
            if len(matches) and len(others):
                for _ in range(self._repeats):
                    self._add(pid, matches, others)

    def _add(self, pid: int, matches: np.ndarray, others: np.ndarray) -> None:
        others = self._generator.permutation(others)
        for size in SIZES:
            without = others[: max(round(size * len(others)), 1)]
            count = self._generator.integers(1, len(matches), endpoint=True)
            own = self._generator.choice(matches, count, replace=False)
            for present, gallery in ((True, np.concatenate([without, own])), (False, without)):
                nearest, expected = self._calibration.nearest_and_expected(gallery)
                self.rows.append((pid, present, len(gallery), float(nearest), float(expected)))


def fit_presence(
    held: Side, everyone: Side, config: EvaluateConfig, device: torch.device, calibration: Calibration
) -> Presence | None:
    """Return how searches tell whether a person is in the gallery; None if they do not, or none has a match.

    Args:
        held: images of people that the network was not trained on, which are searched for.
        everyone: these, and all others that are known.
        calibration: of pairs of the held-out people.
    """
    found = PresenceSearches(calibration, max(SEARCHES // len(held.records), 1))
    labels = labels_of(held, everyone, config)
    for queries, distmat in ranked(held, everyone, config, device):
        found.add_block(distmat, labels.select(queries))
    return fitted(np.array(found.rows, np.float64).reshape(-1, 5))


def fitted(rows: Floats) -> Presence | None:
    """Return the law that predicts the searches (N, 5) best, see `PresenceSearches.rows`; None if they do not tell.

    Its weight is the share that holds for people who were left out of the fit, in turns: with few people a law fits
    their own searches better than those of others.
    """
    people = np.unique(rows[:, 0])
    if len(people) < 2:
        return None
    size = float(np.exp(np.log(rows[:, 2]).mean()))
    fold = np.random.default_rng(SEED).permutation(len(people)) % min(FOLDS, len(people))
    fold_of = fold[np.searchsorted(people, rows[:, 0])]
    odds = np.empty(len(rows))
    for one in np.unique(fold):
        out = fold_of == one
        odds[out] = _law(_most_likely(rows[~out], size), size).log_odds(rows[out, 3], rows[out, 4], rows[out, 2])
    share = _share(odds, rows[:, 1])
    weight, loss, *others = _most_likely(rows, size)
    if share * weight < 1e-3:
        return None
    return _law([share * weight, share * loss, *others], size)


def _law(values: list[float], size: float) -> Presence:
    weight, weight_loss, limit, limit_growth, usual = values
    return Presence(weight, weight_loss, limit, limit_growth, usual, size)


def _most_likely(rows: Floats, size: float) -> list[float]:
    """Return the first five fields of the law under which the searches are most likely."""
    present, x, nearest, expected = rows[:, 1], np.log(rows[:, 2] / size), rows[:, 3], rows[:, 4]

    def loss(values: Floats) -> tuple[float, Floats]:
        weight, weight_loss, limit, limit_growth, usual = values
        line = weight - weight_loss * x
        slope, above = np.clip(line, 0, MOST), nearest - usual * expected - limit - limit_growth * x
        odds = slope * above
        error = (1 / (1 + np.exp(-np.clip(odds, -60, 60))) - present) / len(rows)
        free = error * above * ((line > 0) & (line < MOST))
        fixed = error * slope
        gradient = np.array(
            [free.sum(), -(free * x).sum(), -fixed.sum(), -(fixed * x).sum(), -(fixed * expected).sum()]
        )
        return float(np.mean(np.logaddexp(0, odds) - present * odds)), gradient

    start = np.array([0.5, 0.0, nearest.mean(), 0.5, 0.0])
    return [float(one) for one in minimize(loss, start, jac=True, method="L-BFGS-B", bounds=BOUNDS).x]


def _share(odds: Floats, present: Floats) -> float:
    """Return by which share, 0..1, log odds are to be multiplied to be most likely; their likelihood has one top."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        chance = 1 / (1 + np.exp(-np.clip(middle * odds, -60, 60)))
        low, high = (middle, high) if ((present - chance) * odds).sum() > 0 else (low, middle)
    return low
