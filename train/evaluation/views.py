"""The measures by view difference: how well a person is recognised from a view so many degrees away from the query's.

A match counts in a bin only if its view differs from the query's by an angle within the bin. The person's other images
are left out, as those of the query's camera are. All other people stay in the gallery, whatever their view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .matches import Labels, Matches, find_matches, joined
from .metrics import Result, measure

EDGES = (0, 45, 90, 135, 180)  # degrees; a bin includes its lower edge, the last 180 too
Bin = tuple[int, int]


class ViewBins:
    """Collects the matches by view difference from blocks of the distance matrix."""

    def __init__(self, edges: Sequence[int] = EDGES) -> None:
        self._matches: dict[Bin, list[Matches]] = {bin_: [] for bin_ in pairwise(edges)}

    def add(self, distmat: np.ndarray, labels: Labels, q_views: np.ndarray, g_views: np.ndarray) -> None:
        """Add the matches of some queries.

        Args:
            distmat: (n, G), their rows of the distance matrix.
            labels: of these n queries and of the gallery.
            q_views, g_views: degrees, (n,) and (G,).
        """
        apart = differences(q_views, g_views)  # (n, G)
        for (low, high), matches in self._matches.items():
            within = (apart >= low) & ((apart <= high) if high == 180 else (apart < high))
            # An image outside of the bin is given the query's camera, so that the cross-camera rule leaves it out if it
            # shows the query's person, and keeps it if it shows another.
            camids = np.where(within, labels.g_camids, labels.q_camids[:, None])  # (n, G)
            for query, row in enumerate(distmat):
                one = labels.select(slice(query, query + 1))
                matches.append(find_matches(row[None], dataclasses.replace(one, g_camids=camids[query])))

    def results(self, trapezoid: bool = False) -> dict[Bin, Result]:
        """Return the measures by bin (from, to), of those bins with a match."""
        by_bin = {bin_: joined(parts) for bin_, parts in self._matches.items() if parts}
        return {bin_: measure(matches, trapezoid=trapezoid) for bin_, matches in by_bin.items() if matches.counts.any()}


def differences(q_views: np.ndarray, g_views: np.ndarray) -> np.ndarray:
    """Return the angle between every two views, in degrees, 0 to 180: (Q, G) of (Q,) and (G,)."""
    return np.asarray(np.abs((np.subtract.outer(q_views, g_views) + 180) % 360 - 180))
