"""The measures between every two cameras: the queries of one camera, ranked in the gallery of another camera alone."""

from __future__ import annotations

import numpy as np

from .matches import Labels, Matches, find_matches, joined
from .metrics import Result, measure


class CameraPairs:
    """Collects the matches between cameras from blocks of the distance matrix."""

    def __init__(self) -> None:
        self._matches: dict[tuple[int, int], list[Matches]] = {}

    def add(self, distmat: np.ndarray, labels: Labels) -> None:
        """Add the matches of some queries, whose rows (n, G) of the distance matrix are given."""
        for g_camid in np.unique(labels.g_camids).tolist():
            gallery = np.flatnonzero(labels.g_camids == g_camid)
            for q_camid in np.unique(labels.q_camids).tolist():
                if q_camid == g_camid:
                    continue
                queries = np.flatnonzero(labels.q_camids == q_camid)
                matches = find_matches(distmat[np.ix_(queries, gallery)], labels.select(queries, gallery))
                self._matches.setdefault((q_camid, g_camid), []).append(matches)

    def results(self, trapezoid: bool = False) -> dict[tuple[int, int], Result]:
        """Return the measures by (query camera, gallery camera), of those pairs with a match."""
        by_pair = {pair: joined(parts) for pair, parts in sorted(self._matches.items())}
        return {
            pair: measure(matches, trapezoid=trapezoid) for pair, matches in by_pair.items() if matches.counts.any()
        }
