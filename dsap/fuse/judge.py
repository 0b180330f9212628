"""The probability that limbs of a map are exchanged, and that the whole map is turned around, from the evidence.

A logistic regression for arms, one for legs and one for whole maps. They were fitted to rendered people of another seed
than those that docs/design/fuse.md measures, at error rates 0.5, 1 and 2 together (`benchmarks/fuse.py --fit
--people 60 --turned-people 100`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Constant, across, near (`layout.sides`), nearer (`person.nearer`). Without other images `nearer` is 0.
WEIGHTS = {
    "arms": (-2.45, -41.73, -2.09, 0.43),
    "legs": (-2.23, -31.84, -3.08, 0.2),
}
# Head, torso, limbs (`turns.Turn`). There is no constant: each map was judged as it is and turned around, and how many
# maps are turned around is for the user to say.
TURNED = (7.12, 3.77, 2.78)
MORE_LIKELY = 0.5


def probability_exchanged(limbs: str, across: float, near: float, nearer: float = 0.0) -> float:
    """Return the probability that arms or legs are exchanged; `across`, `near` and `nearer` are its evidence."""
    constant, *weights = WEIGHTS[limbs]
    total = constant + sum(w * x for w, x in zip(weights, (across, near, nearer), strict=True))
    return _logistic(total)


def probability_turned(clues: Sequence[float], share: float) -> float:
    """Return the probability that a map is turned around.

    Args:
        clues: of head, torso and limbs, see `turns.Turn`.
        share: of all maps, that are turned around; more than 0 and less than 1.
    """
    return _logistic(math.log(share / (1 - share)) + sum(w * x for w, x in zip(TURNED, clues, strict=True)))


def _logistic(total: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
