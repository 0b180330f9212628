"""The probability that the limbs of a map are exchanged, from the layout of the map and from the fused surface.

A logistic regression for arms and one for legs. They were fitted to rendered people of another seed than those that
docs/design/fuse.md measures, at error rates 0.5, 1 and 2 together (`benchmarks/fuse.py --fit --people 60`).
"""

from __future__ import annotations

import math

# Constant, across, near (`layout.sides`), nearer (`person.nearer`). Without other images `nearer` is 0.
WEIGHTS = {
    "arms": (-2.45, -41.73, -2.09, 0.43),
    "legs": (-2.23, -31.84, -3.08, 0.2),
}


def probability_exchanged(limbs: str, across: float, near: float, nearer: float = 0.0) -> float:
    """Return the probability that arms or legs are exchanged; `across`, `near` and `nearer` are its evidence."""
    constant, *weights = WEIGHTS[limbs]
    total = constant + sum(w * x for w, x in zip(weights, (across, near, nearer), strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
