"""Whether a query's person is in a gallery at all, by the nearest image of the gallery and by how large it is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

Floats = NDArray[np.float64]
MOST = 2.0  # weight: several images of one person say more than a pair, but not independently


@dataclasses.dataclass(frozen=True)
class Presence:
    """How the nearest of N gallery images changes the odds that the person is in the gallery.

    log odds = weight(N) · (nearest - usual · expected - limit(N)), where `nearest` is the log likelihood ratio of the
    nearest image and `expected` the log of the mean ratio that this query has with other people. Both functions are
    straight lines in x = log(N / size):

    limit(N) = limit + limit_growth · x: the nearest of N images of others is nearer in a larger gallery. Their ratios
        have a mean of 1, so that at most one in y of them is above y: the limit grows by x at most.
    weight(N) = weight - weight_loss · x, within 0 and 2: a near image says less in a larger gallery. At 0 a search says
        nothing, and P is 1/2.

    Attributes:
        weight, weight_loss, limit, limit_growth: of these lines; weight in 0..2, weight_loss and limit_growth in 0..1.
        usual: share of what is usual for the query that is subtracted, 0..1.
        size: images in a gallery of the middle size that it was fitted on.
    """

    weight: float
    weight_loss: float
    limit: float
    limit_growth: float
    usual: float
    size: float

    def __post_init__(self) -> None:
        """Check the values, which may come from a file. Raises ModelError."""
        values = dataclasses.astuple(self)
        if not all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values):
            raise ModelError("The model's calibration holds what is not a number. Train again: dsa-train run.")
        shares = (self.weight / MOST, self.weight_loss, self.limit_growth, self.usual)
        if not all(0 <= one <= 1 for one in shares) or self.size <= 0:
            raise ModelError("The model's calibration has values out of range. Train again: dsa-train run.")

    def log_odds(self, nearest: Floats, expected: Floats, gallery: Floats | int) -> Floats:
        """Return the log odds that the person is in the gallery, at even odds before the search, (...,).

        Args:
            nearest: (...,), the log likelihood ratio of "same" to "different" of the nearest image.
            expected: (...,), the log of the mean ratio with images of other people.
            gallery: images in the gallery.
        """
        x = np.log(np.maximum(gallery, 1) / self.size)
        weight = np.clip(self.weight - self.weight_loss * x, 0, MOST)
        return np.asarray(weight * (nearest - self.usual * expected - self.limit - self.limit_growth * x))
