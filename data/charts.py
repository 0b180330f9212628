"""The 24 DensePose charts, and how the parts of the synthetic body carry them.

A body part (a thigh, the torso) has a frame of three axes: `outer` (away from the body's middle; on torso,
head and skirt: to the person's left), `along` (down the limb or torso, up the head, from heel to toe) and
`front` (on a foot: up). The angle around the part starts behind and passes the outer side:

    behind 0 -> outer (or left) 90 -> in front 180 -> inner (or right) 270

A part carries one or two charts, each a sector of that angle. Where the sectors lie and which way U and V
run was measured on real DensePose maps; on torso and limbs U runs down (docs/design/decisions/data.md). Both sides of
the body are charted from `outer`, so the mirror table of docs/design/contracts.md holds by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CHART_NAMES = (
    "torso back", "torso front", "right hand", "left hand", "left foot", "right foot",
    "right upper leg back", "left upper leg back", "right upper leg front", "left upper leg front",
    "right lower leg back", "left lower leg back", "right lower leg front", "left lower leg front",
    "left upper arm front", "right upper arm front", "left upper arm back", "right upper arm back",
    "left lower arm inside", "right lower arm inside", "left lower arm outside", "right lower arm outside",
    "right head", "left head",
)  # fmt: skip
"""Name of each chart, 1 to 24, as DensePose numbers them (chart I is at I - 1)."""

CHARTS = len(CHART_NAMES)

_NUMBERS = np.arange(CHARTS + 1)  # with 0 for the background
PARTNER = np.where(_NUMBERS > 2, (_NUMBERS - 1 ^ 1) + 1, _NUMBERS)
"""Each chart's partner on the body's other side, int64 (25,): 3 <-> 4, ..., 23 <-> 24; torso and 0 are their own."""


PAIRS: tuple[tuple[int, ...], ...] = (
    (1,),
    (2,),
    *((chart, chart + 1) for chart in range(3, 24, 2)),
)
"""Charts, from 1, that the first merging adds: 24 -> 13. The torso's back and front have no partner."""

BODY_REGIONS: dict[str, tuple[int, ...]] = {
    "torso": (1, 2),
    "hands": (3, 4),
    "feet": (5, 6),
    "upper legs": (7, 8, 9, 10),
    "lower legs": (11, 12, 13, 14),
    "upper arms": (15, 16, 17, 18),
    "lower arms": (19, 20, 21, 22),
    "head": (23, 24),
}
"""Charts, from 1, behind each of the 8 maps that the second merging leaves, in the order of f_L and d_L."""


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
    BAG = 15  # is no part of the body: chart 0


@dataclass(frozen=True)
class Sector:
    """A chart's share of the angle around a part, in degrees, from `start` over `span`.

    The coordinate around runs with the angle, or against it (`back`).
    """

    chart: int
    start: float
    span: float
    back: bool = False


_SECTORS: dict[Part, tuple[Sector, ...]] = {
    Part.TORSO: (Sector(1, -90, 180, back=True), Sector(2, 90, 180)),
    Part.HEAD: (Sector(24, 0, 180, back=True), Sector(23, 180, 180, back=True)),
    Part.HAND_LEFT: (Sector(4, -90, 360),),
    Part.HAND_RIGHT: (Sector(3, -90, 360, back=True),),
    Part.UPPER_ARM_LEFT: (Sector(17, -60, 195), Sector(15, 135, 165, back=True)),
    Part.UPPER_ARM_RIGHT: (Sector(18, -60, 195), Sector(16, 135, 165, back=True)),
    Part.LOWER_ARM_LEFT: (Sector(21, 0, 180), Sector(19, 180, 180)),
    Part.LOWER_ARM_RIGHT: (Sector(22, 0, 180), Sector(20, 180, 180)),
    Part.UPPER_LEG_LEFT: (Sector(8, -90, 180), Sector(10, 90, 180)),
    Part.UPPER_LEG_RIGHT: (Sector(7, -90, 180), Sector(9, 90, 180)),
    Part.LOWER_LEG_LEFT: (Sector(12, -90, 180), Sector(14, 90, 180, back=True)),
    Part.LOWER_LEG_RIGHT: (Sector(11, -90, 180), Sector(13, 90, 180, back=True)),
    Part.FOOT_LEFT: (Sector(5, 0, 360, back=True),),
    Part.FOOT_RIGHT: (Sector(6, 0, 360, back=True),),
    Part.SKIRT: (Sector(0, 0, 360),),  # resolved to the upper legs before it is looked up
    Part.BAG: (Sector(0, 0, 360),),
}
_AROUND_IS_U = (Part.HEAD, Part.HAND_LEFT, Part.HAND_RIGHT)
_MIDDLE = (Part.TORSO, Part.HEAD, Part.SKIRT, Part.BAG)

_pairs = [(_SECTORS[part][0], _SECTORS[part][-1]) for part in Part]
_CHART = np.array([[s.chart for s in pair] for pair in _pairs], np.uint8)  # (parts, 2)
_START = np.array([[s.start for s in pair] for pair in _pairs])
_SPAN = np.array([[s.span for s in pair] for pair in _pairs])
_BACK = np.array([[s.back for s in pair] for pair in _pairs])
_SWAP = np.array([part in _AROUND_IS_U for part in Part])
_IS_MIDDLE = np.array([part in _MIDDLE for part in Part])
_OPPOSITE = np.array([part if part in _MIDDLE else part ^ 1 for part in Part])


def place(part: NDArray[np.integer], local: Floats, hip: float = 0.0) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """Return chart (N,) uint8, u and v (N,) in [0, 1] of surface points; all three are 0 off the body.

    Args:
        part: (N,) values of `Part`.
        local: (N, 3) coordinates outer, along, front in the part's frame: along in units of the part's
            length, the other two in any one unit.
        hip: distance of a leg's axis from the body's middle, in that unit; places skirts on the legs.
    """
    outer, along, front = local[:, 0], local[:, 1], local[:, 2]
    skirt = part == Part.SKIRT
    if skirt.any():
        legs = np.where(outer >= 0, Part.UPPER_LEG_LEFT, Part.UPPER_LEG_RIGHT)
        part = np.where(skirt, legs, part)
        outer = np.where(skirt, np.abs(outer) - hip, outer)
    angle = np.degrees(np.arctan2(outer, -front))
    angle = (angle - _START[part, 0]) % 360  # from the start of the part's first sector
    second = (angle >= _SPAN[part, 0]).astype(np.intp)
    around = np.clip((angle - second * _SPAN[part, 0]) / _SPAN[part, second], 0, 1)
    around = np.where(_BACK[part, second], 1 - around, around)
    along = np.clip(along, 0, 1)
    along = np.where(part == Part.FOOT_RIGHT, 1 - along, along)
    chart = _CHART[part, second]
    swap = _SWAP[part]
    on_body = chart > 0
    return chart, np.where(swap, around, along) * on_body, np.where(swap, along, around) * on_body


def opposite(part: NDArray[np.integer], local: Floats) -> tuple[NDArray[np.integer], Floats]:
    """Return part and coordinates of the same points on the mirrored person (arguments as for `place`)."""
    turned = local.copy()
    turned[:, 0] = np.where(_IS_MIDDLE[part], -local[:, 0], local[:, 0])
    return _OPPOSITE[part], turned


def quantise(chart: NDArray[np.uint8], u: Floats, v: Floats) -> NDArray[np.uint8]:
    """Return (N, 3) uint8 I, round(255 u), round(255 v): the IUV map's values (docs/design/contracts.md)."""
    return np.stack([chart, np.rint(255 * u).astype(np.uint8), np.rint(255 * v).astype(np.uint8)], axis=1)
