"""How the parts of the synthetic body carry the 24 DensePose charts.

A body part (a thigh, the torso) has a frame of three axes: `outer` (away from the body's middle; on torso,
head and skirt: to the person's left), `along` (down the limb or torso, up the head, from heel to toe) and
`front` (on a foot: up). The angle around the part starts behind and passes the outer side:

    behind 0 -> outer (or left) 90 -> in front 180 -> inner (or right) 270

A part carries one or two charts, each a sector of that angle. Where the sectors lie and which way U and V
run was measured on real DensePose maps; on torso and limbs U runs down (docs/design/decisions/data.md). Both
sides of the body are charted from `outer`, so the mirror table of docs/design/contracts.md holds by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Part(IntEnum):
    """Parts of the body and what it wears; even numbers from HAND_LEFT to FOOT_RIGHT are left."""

    TORSO = 0
    HEAD = 1
    HAND_LEFT = 2
    HAND_RIGHT = 3
    UPPER_ARM_LEFT = 4
    UPPER_ARM_RIGHT = 5
    LOWER_ARM_LEFT = 6
    LOWER_ARM_RIGHT = 7
    UPPER_LEG_LEFT = 8
    UPPER_LEG_RIGHT = 9
    LOWER_LEG_LEFT = 10
    LOWER_LEG_RIGHT = 11
    FOOT_LEFT = 12
    FOOT_RIGHT = 13
    SKIRT = 14  # carries the charts of the upper legs
    BAG = 15  # not a part of the body: chart 0


@dataclass(frozen=True)
class Sector:
    """The angles around a part that a chart covers, in degrees: from `start` over `span`.

    The chart's coordinate around the part grows with the angle, or against it (`reverse`).
    """

    chart: int
    start: float
    span: float
    reverse: bool = False


_SECTORS: dict[Part, tuple[Sector, ...]] = {
    Part.TORSO: (Sector(1, -90, 180, reverse=True), Sector(2, 90, 180)),
    Part.HEAD: (Sector(24, 0, 180, reverse=True), Sector(23, 180, 180, reverse=True)),
    Part.HAND_LEFT: (Sector(4, -90, 360),),
    Part.HAND_RIGHT: (Sector(3, -90, 360, reverse=True),),
    Part.UPPER_ARM_LEFT: (Sector(17, -60, 195), Sector(15, 135, 165, reverse=True)),
    Part.UPPER_ARM_RIGHT: (Sector(18, -60, 195), Sector(16, 135, 165, reverse=True)),
    Part.LOWER_ARM_LEFT: (Sector(21, 0, 180), Sector(19, 180, 180)),
    Part.LOWER_ARM_RIGHT: (Sector(22, 0, 180), Sector(20, 180, 180)),
    Part.UPPER_LEG_LEFT: (Sector(8, -90, 180), Sector(10, 90, 180)),
    Part.UPPER_LEG_RIGHT: (Sector(7, -90, 180), Sector(9, 90, 180)),
    Part.LOWER_LEG_LEFT: (Sector(12, -90, 180), Sector(14, 90, 180, reverse=True)),
    Part.LOWER_LEG_RIGHT: (Sector(11, -90, 180), Sector(13, 90, 180, reverse=True)),
    Part.FOOT_LEFT: (Sector(5, 0, 360, reverse=True),),
    Part.FOOT_RIGHT: (Sector(6, 0, 360, reverse=True),),
    Part.SKIRT: (Sector(0, 0, 360),),  # resolved to the upper legs before it is looked up
    Part.BAG: (Sector(0, 0, 360),),
}
_AROUND_IS_U = (Part.HEAD, Part.HAND_LEFT, Part.HAND_RIGHT)
_MIDDLE = (Part.TORSO, Part.HEAD, Part.SKIRT, Part.BAG)

_pairs = [(_SECTORS[part][0], _SECTORS[part][-1]) for part in Part]
_CHART = np.array([[s.chart for s in pair] for pair in _pairs], np.uint8)  # (parts, 2)
_START = np.array([[s.start for s in pair] for pair in _pairs])
_SPAN = np.array([[s.span for s in pair] for pair in _pairs])
_REVERSE = np.array([[s.reverse for s in pair] for pair in _pairs])
_SWAPS_UV = np.array([part in _AROUND_IS_U for part in Part])
_IS_MIDDLE = np.array([part in _MIDDLE for part in Part])
_OPPOSITE = np.array([part if part in _MIDDLE else part ^ 1 for part in Part])


def surface_coordinates(
    part: NDArray[np.integer], local: Floats, hip: float = 0.0
) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """Return chart (N,) uint8, u and v (N,) in [0, 1] of surface points; all three are 0 off the body.

    Args:
        part: (N,) values of `Part`.
        local: (N, 3) coordinates outer, along, front in the part's frame: along in units of the part's
            length; outer and front in the same unit as each other, which may be any.
        hip: distance of a leg's axis from the body's middle, in that unit: a skirt is charted around both legs' axes.
    """
    outer, along, front = local[:, 0], local[:, 1], local[:, 2]
    skirt = part == Part.SKIRT
    # A skirt has no charts of its own. Each half carries those of the upper leg on its side, around that leg's axis.
    if skirt.any():
        legs = np.where(outer >= 0, Part.UPPER_LEG_LEFT, Part.UPPER_LEG_RIGHT)
        part = np.where(skirt, legs, part)
        outer = np.where(skirt, np.abs(outer) - hip, outer)
    # The angle around the part, counted from the start of its first sector: below that sector's span a point is in the
    # first chart, above it in the second. The second sector starts where the first ends.
    angle = np.degrees(np.arctan2(outer, -front))
    angle = (angle - _START[part, 0]) % 360
    second = (angle >= _SPAN[part, 0]).astype(np.intp)
    around = np.clip((angle - second * _SPAN[part, 0]) / _SPAN[part, second], 0, 1)
    around = np.where(_REVERSE[part, second], 1 - around, around)
    along = np.clip(along, 0, 1)
    # On the feet U runs from heel to toe on the left and back on the right, as the mirror rule (U -> 1 - U) wants it.
    along = np.where(part == Part.FOOT_RIGHT, 1 - along, along)
    chart = _CHART[part, second]
    swap = _SWAPS_UV[part]  # on these parts U is the coordinate around, V the one along
    on_body = chart > 0
    return chart, np.where(swap, around, along) * on_body, np.where(swap, along, around) * on_body


def mirrored_points(part: NDArray[np.integer], local: Floats) -> tuple[NDArray[np.integer], Floats]:
    """Return part and coordinates of the same points on the mirrored person; arguments as for `surface_coordinates`."""
    # Limbs change sides and keep their coordinates, which count outward; parts in the middle count to the left.
    mirrored = local.copy()
    mirrored[:, 0] = np.where(_IS_MIDDLE[part], -local[:, 0], local[:, 0])
    return _OPPOSITE[part], mirrored
