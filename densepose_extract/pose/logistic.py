"""The logistic function, by which logits become probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
LIMIT = 30.0  # of a logit: beyond it the probability is 0 or 1 to 13 digits


def sigmoid(x: Floats) -> Floats:
    """Return the probability of a logit."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -LIMIT, LIMIT))))
