"""What every engine of stage one answers, whatever it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

Status = Literal["found", "fallback", "none"]


@dataclass(frozen=True)
class Extracted:
    """One picture's IUV map and where it comes from.

    `iuv`: uint8 (H, W, 3), channels I, U, V as in docs/design/contracts.md.
    `score`: the chosen person's, 0 where nobody was found.
    `box`: float32 (4,), x0, y0, x1, y1 in pixels of the picture: the person's, for a fallback the whole
    picture, NaN for none.
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: Status

    @classmethod
    def nobody(cls, height: int, width: int) -> Extracted:
        """Return the empty map of a picture in which nobody was found."""
        return cls(np.zeros((height, width, 3), np.uint8), 0.0, np.full(4, np.nan, np.float32), "none")


class Engine(Protocol):
    """A way to get IUV maps of pictures, in units that are fixed before the work is shared out."""

    name: str

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the pictures that decides the answer's bytes, as plain values."""

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Split pictures, given by (height, width), into batches of indices.

        A pure function of the sizes and the configuration; every index occurs once.
        """

    def extract(self, pictures: Sequence[np.ndarray]) -> list[Extracted]:
        """Answer for the pictures of one unit, each uint8 (H, W, 3) RGB."""
