"""The measures by view difference: how well a person is found again from a side so many degrees away.

Only answers whose view differs from the query's by an angle within the bin count as right; the person's other pictures
are left out, as those of the query's camera are. Everybody else stays in the gallery, from whatever side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .metrics import Matches, Result, find_matches, joined, measure

EDGES = (0, 45, 90, 135, 180)  # degrees; a bin includes its lower edge, the last 180 too
Bin = tuple[int, int]


class ViewBins:
    """Collects the matches by view difference from blocks of the distance matrix."""

    def __init__(self, edges: Sequence[int] = EDGES) -> None:
        self._found: dict[Bin, list[Matches]] = {bin_: [] for bin_ in pairwise(edges)}

    def add(
        self,
        distmat: np.ndarray,
        q_pids: np.ndarray,
        g_pids: np.ndarray,
        q_camids: np.ndarray,
        g_camids: np.ndarray,
        q_views: np.ndarray,
        g_views: np.ndarray,
    ) -> None:
        """Take in the rows of some queries; arguments as for `metrics.evaluate`, views in degrees, (Q,) and (G,)."""
        apart = differences(q_views, g_views)  # (Q, G)
        for (low, high), found in self._found.items():
            within = (apart >= low) & ((apart <= high) if high == 180 else (apart < high))
            # Who is taken for a picture of the query's camera is left out, if it is the query's person.
            cameras = np.where(within, g_camids, np.asarray(q_camids)[:, None])  # (Q, G)
            for n, row in enumerate(distmat):
                one = slice(n, n + 1)
                found.append(find_matches(row[None], q_pids[one], g_pids, q_camids[one], cameras[n]))

    def results(self, trapezoid: bool = False) -> dict[Bin, Result]:
        """Return the measures by bin (from, to), of those in which somebody is seen again."""
        together = {bin_: joined(parts) for bin_, parts in self._found.items() if parts}
        return {
            bin_: measure(matches, trapezoid=trapezoid) for bin_, matches in together.items() if matches.counts.any()
        }


def differences(q_views: np.ndarray, g_views: np.ndarray) -> np.ndarray:
    """Return the angle between every two views, in degrees, 0 to 180: (Q, G) of (Q,) and (G,)."""
    return np.asarray(np.abs((np.subtract.outer(q_views, g_views) + 180) % 360 - 180))
