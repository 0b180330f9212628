"""The measures between every two cameras: the queries of one, ranked in the gallery of the other alone."""

from __future__ import annotations

import numpy as np

from .metrics import Matches, Result, find_matches, joined, measure


class CameraPairs:
    """Collects the matches between cameras from blocks of the distance matrix."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], list[Matches]] = {}

    def add(
        self, distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray
    ) -> None:
        """Take in the rows of some queries; arguments as for `metrics.evaluate`."""
        for g_camid in np.unique(g_camids).tolist():
            there = np.flatnonzero(g_camids == g_camid)
            for q_camid in np.unique(q_camids).tolist():
                if q_camid == g_camid:
                    continue
                here = np.flatnonzero(q_camids == q_camid)
                found = find_matches(
                    distmat[np.ix_(here, there)], q_pids[here], g_pids[there], q_camids[here], g_camids[there]
                )
                self._found.setdefault((q_camid, g_camid), []).append(found)

    def results(self, trapezoid: bool = False) -> dict[tuple[int, int], Result]:
        """Return the measures by (query camera, gallery camera), of those pairs where somebody is seen by both."""
        together = {pair: joined(parts) for pair, parts in sorted(self._found.items())}
        return {
            pair: measure(matches, trapezoid=trapezoid) for pair, matches in together.items() if matches.counts.any()
        }
