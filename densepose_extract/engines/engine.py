"""What every engine of stage one returns, whatever it runs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from dsa_data.stores.iuv import Confidence

from .sizing import Canvas

Status = Literal["found", "fallback", "none"]


@dataclass(frozen=True)
class Extracted:
    """The I, U, V map of one image and the detection that it comes from.

    Attributes:
        iuv: uint8 (H, W, 3), channels I, U, V as docs/design/contracts.md defines them.
        score: of the chosen person, 0 where no person was detected.
        box: float32 (4,), x0, y0, x1, y1 in pixels of the image: the person's, or the whole image for a fallback; NaN
            for an empty map.
        status: "found" for a detected person, "fallback" for the whole image taken as the box, "none" for an empty map.
        fine: uint16 (H, W, 2), U and V in 16 bits (`dsa_data.stores.iuv.refine`); None in 8 bits, or for an empty map.
        confidence: uint8 (H, W), round(255 p), p being the probability that the map is right at the pixel, background
            included; None if the engine states none, or for an empty map.
        image_confidence: the same for the map as a whole, 0 to 1; NaN if the engine states none. Where it states
            `confidence` alone, the store holds its mean over the body.
        has_uv: False for a map of I alone, whose U and V are 0.
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: Status
    fine: np.ndarray | None = None
    confidence: np.ndarray | None = None
    image_confidence: float = math.nan
    has_uv: bool = True

    @classmethod
    def no_person(cls, height: int, width: int) -> Extracted:
        """Return the empty map of an image in which no person was detected."""
        return cls(np.zeros((height, width, 3), np.uint8), 0.0, np.full(4, np.nan, np.float32), "none")


def identity_of_content(bits: int, confidence: Confidence = "none") -> dict[str, Any]:
    """Return what the content of the maps adds to an engine's identity; `assemble` writes the store by it.

    Nothing for 8 bits without a confidence, so that older stores stay up to date.

    Args:
        bits: of a coordinate, 8 or 16; 0 for maps of I alone.
        confidence: "pixels" if every map with a person has `Extracted.confidence`; "images" if maps have
            `Extracted.image_confidence` alone.
    """
    return ({"bits": bits} if bits != 8 else {}) | ({"confidence": confidence} if confidence != "none" else {})


class Engine(Protocol):
    """Computes the I, U, V maps of images, in batches that are fixed before the work is shared out."""

    name: str

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the images that decides the bytes of a map, as plain values."""

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Split images, given by (height, width), into batches of indices.

        A pure function of the sizes and the configuration; every index occurs once.
        """

    def extract(self, images: Sequence[np.ndarray]) -> list[Extracted]:
        """Return the maps of one batch of RGB images, each uint8 (H, W, 3)."""


@runtime_checkable
class PreparesAhead(Protocol):
    """An engine whose images are prepared by other threads while its network computes an earlier batch.

    Attributes:
        in_flight: how many threads may call `extract` at the same time, to keep a GPU busy.
    """

    in_flight: int

    def canvas(self, images: Sequence[np.ndarray]) -> Canvas:
        """Return the images of a batch ready for the network; called from any thread."""

    def extract(self, images: Sequence[np.ndarray], canvas: Canvas | None = None) -> list[Extracted]:
        """Return the maps of one batch, whose canvas may be given."""
