"""The synthetic body: from a person's proportions to the solids of its parts.

All lengths here are in units of the body's height, in the frames of `surface`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pose import HIP_OUT, LOWER_ARM, LOWER_LEG, UPPER_ARM, UPPER_LEG, Frames, Pose, pose_frames
from .solids import OUTER, Solid, Solids, ellipsoid, pack
from .surface import Part

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Build:
    """The proportions of a person: `height` in metres, the others as factors on those of an average adult."""

    height: float = 1.75
    shoulders: float = 1.0
    hips: float = 1.0
    girth: float = 1.0
    head: float = 1.0
    top_fit: float = 1.0  # width of the clothes above the hips, and below
    bottom_fit: float = 1.0
    skirt: float = 0.0  # length in units of the upper leg; 0 is none
    hair: str = "short"  # bald, short, full, tail, long
    brim: bool = False
    bag: str = "none"  # none, backpack, shoulder


@dataclass(frozen=True)
class Body:
    """A person's solids, and the lengths in metres that are needed to chart them.

    The charts of a part lie between `start` (P,) and `start + length` (P,) along it. `hip` is the distance of a leg's
    axis from the body's middle.
    """

    build: Build
    solids: Solids
    start: Floats
    length: Floats
    hip: float

    def posed(self, pose: Pose) -> Frames:
        """Return the frames of the parts in a pose."""
        return pose_frames(self.build.height, self.build.shoulders, self.build.hips, pose)


def build_body(build: Build) -> Body:
    """Return the body of a person of this build."""
    solids = [*_torso(build), *_head(build), *_worn(build)]
    for side in (0, 1):
        solids += [*_arm(build, side), *_leg(build, side)]
    unit = build.height
    start, length = zip(*(_EXTENTS.get(part) or _EXTENTS[Part(part - 1)] for part in Part), strict=True)
    return Body(build, pack(solids, unit), np.array(start) * unit, np.array(length) * unit, HIP_OUT * build.hips * unit)


# Start and length along a part (of either side) of its charts. At elbow and knee those of
# the upper part reach over the joint.
_ELBOW, _KNEE = 0.02, 0.026
_EXTENTS = {
    Part.TORSO: (-0.02, 0.40),
    Part.HEAD: (-0.02, 0.152),
    Part.HAND_LEFT: (-0.012, 0.104),
    Part.UPPER_ARM_LEFT: (-0.033, UPPER_ARM + 0.033 + _ELBOW),
    Part.LOWER_ARM_LEFT: (0.6 * _ELBOW, LOWER_ARM - 0.6 * _ELBOW),
    Part.UPPER_LEG_LEFT: (-0.01, UPPER_LEG + 0.01 + _KNEE),
    Part.LOWER_LEG_LEFT: (0.6 * _KNEE, LOWER_LEG + 0.02 - 0.6 * _KNEE),
    Part.FOOT_LEFT: (-0.01, 0.146),
    Part.SKIRT: (-0.01, UPPER_LEG + 0.01 + _KNEE),
    Part.BAG: (0.0, 0.4),
}


def skirt_edge(skirt: float) -> float:
    """Return the u of the upper legs' charts at which a skirt of this length ends."""
    start, length = _EXTENTS[Part.SKIRT]
    return (UPPER_LEG * skirt - start) / length


def _torso(build: Build) -> Iterator[Solid]:
    chest, waist, hips = build.shoulders * build.top_fit, math.sqrt(build.girth * build.hips), build.hips
    depth = 0.066 * build.girth * build.top_fit
    yield ellipsoid(Part.TORSO, (0, 0.110, -0.002), (0.093 * chest, 0.115, depth))
    waistline = 0.080 * waist
    deep = (1.0, 1.0, 0.76 * build.girth)
    yield Solid(Part.TORSO, (0, 0.21, 0), 0.10, 0.082 * chest, waistline, stretch=deep)
    yield ellipsoid(Part.TORSO, (0, 0.300, -0.004), (0.094 * hips, 0.085, 0.070 * build.girth))
    yield Solid(Part.TORSO, (0, 0.036, -0.002), 0.086 * build.shoulders, 0.031, 0.031, axis=OUTER)
    yield ellipsoid(Part.TORSO, (0, 0.018, -0.004), (0.070, 0.034, 0.036))
    if build.girth > 1.12:
        yield ellipsoid(Part.TORSO, (0, 0.225, 0.020), (0.078, 0.10, 0.060 * build.girth))


def _head(build: Build) -> Iterator[Solid]:
    size = build.head
    yield ellipsoid(Part.HEAD, (0, 0.066, 0), (0.043 * size, 0.066 * size, 0.053 * size))
    yield ellipsoid(Part.HEAD, (0, 0.032, 0.012), (0.034 * size, 0.036, 0.040 * size))
    yield Solid(Part.HEAD, (0, -0.004, -0.008), 0.03, 0.032, 0.029)
    if build.hair != "bald":
        volume = {"full": 1.14, "long": 1.07}.get(build.hair, 1.0) * size
        yield ellipsoid(Part.HEAD, (0, 0.078, -0.011), (0.0475 * volume, 0.061 * volume, 0.0525 * volume))
    if build.hair == "long":
        yield Solid(Part.HEAD, (0, -0.01, -0.040), 0.055, 0.030, 0.034, stretch=(1.35, 1.0, 0.8))
    if build.hair == "tail":
        yield Solid(Part.HEAD, (0, 0.03, -0.066), 0.04, 0.010, 0.016)
    if build.brim:
        yield ellipsoid(Part.HEAD, (0, 0.098, 0.055), (0.036, 0.007, 0.036))


def _arm(build: Build, side: int) -> Iterator[Solid]:
    thick = math.sqrt(build.girth) * build.top_fit
    shoulder, elbow, wrist = 0.0305 * thick, 0.0255 * thick, 0.0175 * thick
    yield Solid(Part.UPPER_ARM_LEFT + side, (0, UPPER_ARM / 2, 0), UPPER_ARM / 2, shoulder, elbow)
    yield Solid(Part.LOWER_ARM_LEFT + side, (0, LOWER_ARM / 2, 0), LOWER_ARM / 2, 0.97 * elbow, wrist)
    yield ellipsoid(Part.HAND_LEFT + side, (0, 0.040, 0.004), (0.0155, 0.052, 0.024))


def _leg(build: Build, side: int) -> Iterator[Solid]:
    thick = math.sqrt(build.girth)
    knee, ankle = 0.0335 * thick * build.bottom_fit, 0.0225 * build.bottom_fit**2
    lower = Part.LOWER_LEG_LEFT + side
    yield Solid(Part.UPPER_LEG_LEFT + side, (0, UPPER_LEG / 2, 0), UPPER_LEG / 2, 0.0525 * thick, knee)
    yield Solid(lower, (0, LOWER_LEG / 2, 0), LOWER_LEG / 2, 0.97 * knee, ankle)
    yield ellipsoid(lower, (0, 0.07, -0.006), (0.033 * thick, 0.075, 0.035 * thick))
    yield Solid(Part.FOOT_LEFT + side, (0, 0.066, 0), 0.048, 0.027, 0.0215, stretch=(1.05, 1.0, 0.9))


def _worn(build: Build) -> Iterator[Solid]:
    if build.skirt:
        half = UPPER_LEG * build.skirt / 2 + 0.02  # it begins 0.04 above the hip joints
        flare = 0.090 * build.hips + 0.03 * build.skirt
        shape = (1.0, 1.0, 0.8)
        yield Solid(Part.SKIRT, (0, half - 0.04, 0), half, 0.088 * build.hips, flare, stretch=shape, open=True)
    if build.bag == "backpack":
        yield ellipsoid(Part.BAG, (0, 0.125, -0.105 * build.girth), (0.078, 0.115, 0.055))
    elif build.bag == "shoulder":
        yield ellipsoid(Part.BAG, (-0.125 * build.hips, 0.335, -0.01), (0.032, 0.068, 0.082))
