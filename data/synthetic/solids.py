"""Tapered capsules and ellipsoids, of which the synthetic body is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Triple = tuple[float, float, float]
OUTER, ALONG, FRONT = 0, 1, 2


@dataclass(frozen=True)
class Solid:
    """A tapered capsule in the frame of its part: two spheres and the cone around them.

    Attributes:
        part: a value of `surface.Part`.
        half: half the distance of the two spheres' centres.
        low, high: radii of the spheres at the start and at the end of the axis.
        axis: the axis of the frame that the capsule lies along.
        stretch: factors outward, along and to the front, about the centre.
        open: without the spheres: a cone that is open at both ends.
    """

    part: int
    centre: Triple
    half: float
    low: float
    high: float
    axis: int = ALONG
    stretch: Triple = (1.0, 1.0, 1.0)
    open: bool = False


def ellipsoid(part: int, centre: Triple, radii: Triple) -> Solid:
    """Return an ellipsoid with radii outward, along and to the front."""
    return Solid(part, centre, 0.0, 1.0, 1.0, stretch=radii)


@dataclass(frozen=True)
class Solids:
    """N solids as arrays, in their parts' frames. In local coordinates the capsule's axis is the second.

    `to_local` (N, 3, 3) takes part coordinates minus `centre` (N, 3) to local ones. There the solid is a capsule
    without stretch, of half length `half` (N,), with radius `low` (N,) at -half and `high` (N,) at +half. `from_local`
    is the inverse. Solids with `open` (N,) are cones without spheres.
    """

    part: NDArray[np.intp]
    to_local: Floats
    from_local: Floats
    centre: Floats
    half: Floats
    low: Floats
    high: Floats
    open: NDArray[np.bool_]


def pack(solids: Sequence[Solid], unit: float) -> Solids:
    """Return the solids as arrays, their lengths multiplied by `unit`."""
    assert all(abs(solid.low - solid.high) < 2 * solid.half or not solid.half for solid in solids)
    from_local = []
    for solid in solids:
        axes = np.diag(solid.stretch)
        from_local.append(axes[:, [ALONG, OUTER, FRONT]] if solid.axis == OUTER else axes)
    scale = np.array(from_local) * unit
    return Solids(
        part=np.array([solid.part for solid in solids], np.intp),
        to_local=np.linalg.inv(scale),
        from_local=scale,
        centre=np.array([solid.centre for solid in solids]) * unit,
        half=np.array([solid.half for solid in solids]),
        low=np.array([solid.low for solid in solids]),
        high=np.array([solid.high for solid in solids]),
        open=np.array([solid.open for solid in solids]),
    )
