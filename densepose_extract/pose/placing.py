"""From a skeleton to the I, U, V map: which part of the body each pixel shows, and where on the part it is.

Each part is a tapered capsule around the line between two joints. A pixel is given to the part whose capsule is
nearest, measured in its radii; of capsules that overlap in the image, the one that is nearer to the viewer is
preferred. Across the capsule the pixel shows one point of a circle (an ellipse for torso and head). The direction that
the body faces says at which angle around the part this point is. Charts and their coordinates follow from the angle as
for rendered people (`dsa_data.synthetic.surface`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsa_data.synthetic.surface import Part, surface_coordinates

from .skeleton import Joint, Skeleton, unit

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Capsule:
    """A part of the body between two joints.

    Attributes:
        part: whose charts it carries.
        start, end: joints that it lies between.
        low, high: radii at both joints, in metres.
        facing: which of the skeleton's directions turns it.
        deep: depth divided by width of its cross-section.
        reach: distance from its axis, in radii, up to which pixels of the mask belong to it; clothes and hair are wider
            than the body.
    """

    part: Part
    start: Joint
    end: Joint
    low: float
    high: float
    facing: str
    deep: float = 1.0
    reach: float = 1.9


def _both(part: Part, start: Joint, end: Joint, low: float, high: float, facing: str) -> tuple[Capsule, Capsule]:
    """Return the capsules of both sides; `part`, `start` and `end` are those of the left one."""
    left = Capsule(part, start, end, low, high, facing)
    return left, Capsule(Part(part + 1), Joint(start + 1), Joint(end + 1), low, high, facing)


CAPSULES = (
    Capsule(Part.TORSO, Joint.SHOULDERS, Joint.HIPS, 0, 0, "torso", deep=0.65),
    Capsule(Part.HEAD, Joint.SHOULDERS, Joint.EARS, 0, 0, "head", deep=1.2, reach=1.25),
    *_both(Part.HAND_LEFT, Joint.LEFT_WRIST, Joint.LEFT_FINGERS, 0.045, 0.050, "arms"),
    *_both(Part.UPPER_ARM_LEFT, Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, 0.050, 0.044, "arms"),
    *_both(Part.LOWER_ARM_LEFT, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, 0.045, 0.037, "arms"),
    *_both(Part.UPPER_LEG_LEFT, Joint.LEFT_HIP, Joint.LEFT_KNEE, 0.110, 0.075, "legs"),
    *_both(Part.LOWER_LEG_LEFT, Joint.LEFT_KNEE, Joint.LEFT_ANKLE, 0.064, 0.050, "legs"),
    *_both(Part.FOOT_LEFT, Joint.LEFT_HEEL, Joint.LEFT_TOES, 0.050, 0.050, "torso"),
)
PARTS = np.array([capsule.part for capsule in CAPSULES])

CROWN = 0.12  # metres from the ears up to the crown, as all that follow
HEAD_HALF = 0.087  # half the head's width
CHIN = 0.15  # from the ears down to the neck's base, where the torso begins
SHOULDER = 0.06  # by which the torso is wider than the joints of the shoulders are apart
HIP = 0.10  # likewise the hips
NARROWEST = 0.14  # half the width of a torso that is seen from the side
CROTCH = 0.06  # from the hips' middle down to where the torso ends in front
GROIN = 0.45  # how much higher it ends a metre to the side
SEAT = 0.075  # from the hips down to where the torso ends behind
OVERLAP = 1.5  # costs of a capsule that is a metre behind another one, in radii
BORDER = 0.02  # over which a pixel beyond the torso's end becomes the leg's
NEAR = 1.5  # radii within which a capsule may hide another one
TINY = 1e-3  # pixels, below which a capsule is a circle
SIDE = 0.93  # where the surface that is seen ends: a capsule's outermost pixels show what is just inside the edge

# u = a + b x, v = c + d y of each chart: x and y are the coordinates of `surface`, which take the whole sector of a
# part, u and v those that real maps have there. From 18 photographs with true maps. With b < 0 U runs upward.
LINES = np.zeros((25, 4))
for _charts, _line in {
    (1,): (0.17, 0.80, 0.23, 0.53), (2,): (0.10, 0.80, 0.06, 0.86),
    (3,): (0.25, 0.45, 0.20, 0.38), (4,): (0.32, 0.42, 0.20, 0.38),
    (5,): (0.40, 0.30, 0.14, 0.85), (6,): (0.32, 0.30, 0.20, 0.80),
    (7, 8): (-0.05, 0.53, 0.30, 0.50), (9, 10): (0.82, -0.61, 0.15, 0.83),
    (11, 12): (1.05, -0.61, 0.03, 0.79), (13, 14): (0.00, 0.95, 0.05, 0.93),
    (15, 16): (0.02, 0.85, 0.35, 0.50), (17, 18): (0.02, 0.78, 0.27, 0.50),
    (19, 20): (0.94, -0.78, 0.20, 0.55), (21, 22): (0.07, 0.78, 0.20, 0.53),
    (23, 24): (0.10, 0.72, 0.23, 0.44),
}.items():  # fmt: skip
    LINES[list(_charts)] = _line
LINES.flags.writeable = False


@dataclass(frozen=True)
class Measured:
    """Where N pixels lie in the frame of a capsule.

    Attributes:
        distance: (N,) from its axis, in radii: 1 on the capsule's surface as it is seen in the image.
        along: (N,) from start to end, within 0..1.
        across: (N,) from the axis to the right of the image (were the part upright), in radii, within -1..1.
        depth: (N,) metres of the axis away from the viewer.
    """

    distance: Floats
    along: Floats
    across: Floats
    depth: Floats


@dataclass(frozen=True)
class Placed:
    """What N pixels show.

    Attributes:
        capsule: (N,) index into `CAPSULES` of the nearest part.
        distance: (N,) from its axis, in radii.
        margin: (N,) how much nearer it is than the next part, in radii.
        chart: (N,) uint8, 1..24.
        u, v: (N,) in [0, 1].
    """

    capsule: NDArray[np.intp]
    distance: Floats
    margin: Floats
    chart: NDArray[np.uint8]
    u: Floats
    v: Floats


def place(skeleton: Skeleton, pixels: Floats) -> Placed:
    """Return what each pixel (N, 2), x and y of its centre, shows of the body, were it all of this person."""
    measured = [_measure(skeleton, capsule, pixels) for capsule in CAPSULES]
    distance = np.stack([one.distance for one in measured])  # (14, N)
    depth = np.stack([one.depth for one in measured])
    cost = distance + OVERLAP * (depth - depth[0]) * (distance < NEAR)
    cost += _beyond_border(skeleton, pixels)
    nearest = cost.argmin(axis=0)
    chosen = np.arange(len(pixels))
    local = np.empty((len(pixels), 3))
    for index, (capsule, one) in enumerate(zip(CAPSULES, measured, strict=True)):
        own = nearest == index
        local[own] = _local(skeleton, capsule, one.along[own], one.across[own])
    chart, u, v = surface_coordinates(PARTS[nearest], local)
    a, b, c, d = LINES[chart].T
    first, second = np.partition(cost, 1, axis=0)[:2]
    return Placed(
        nearest,
        distance[nearest, chosen],
        second - first,
        chart,
        np.clip(a + b * u, 0, 1),
        np.clip(c + d * v, 0, 1),
    )


def outline(skeleton: Skeleton, pixels: Floats) -> NDArray[np.bool_]:
    """Return which pixels (N, 2), x and y of their centres, are within a capsule."""
    distances = [_measure(skeleton, capsule, pixels).distance for capsule in CAPSULES]
    return np.asarray(np.min(distances, axis=0) < 1)


def _measure(skeleton: Skeleton, capsule: Capsule, pixels: Floats) -> Measured:
    start, end = skeleton.points[capsule.start], skeleton.points[capsule.end]
    length = max(float(np.linalg.norm(end - start)), TINY)
    direction = (end - start) / length if length > TINY else np.array([0.0, 1.0])
    if capsule.part == Part.HEAD:
        return _measure_head(skeleton, pixels, direction)
    right = np.array([direction[1], -direction[0]])  # of a part that points down
    along, across = (pixels - start) @ direction / length, (pixels - start) @ right
    inside = np.clip(along, 0, 1)
    beyond = (along - inside) * length
    if capsule.part == Part.TORSO:
        radius = _torso_half(skeleton, right, inside)
        distance = np.abs(across) / radius + np.abs(beyond) / (0.06 * skeleton.scale)
    else:
        radius = (capsule.low + (capsule.high - capsule.low) * inside) * skeleton.scale
        distance = np.hypot(across, beyond) / radius
    first, last = skeleton.depth[capsule.start], skeleton.depth[capsule.end]
    return Measured(distance, inside, np.clip(across / radius, -SIDE, SIDE), first + (last - first) * inside)


def _measure_head(skeleton: Skeleton, pixels: Floats, up: Floats) -> Measured:
    """Return where pixels lie in the head, an ellipse around the ears."""
    right = np.array([-up[1], up[0]])
    offset = (pixels - skeleton.points[Joint.EARS]) / skeleton.scale
    height, across = offset @ up, offset @ right / HEAD_HALF
    distance = np.hypot(across, (height - (CROWN - CHIN) / 2) / ((CROWN + CHIN) / 2))
    along = np.clip((height + CHIN) / (CROWN + CHIN), 0, 1)
    return Measured(distance, along, np.clip(across, -SIDE, SIDE), np.full(len(pixels), skeleton.depth[Joint.EARS]))


def _torso_half(skeleton: Skeleton, right: Floats, along: Floats) -> Floats:
    """Return half the torso's width in pixels at `along` (N,): from the joints of shoulders and hips."""
    points, scale = skeleton.points, skeleton.scale
    shoulders = abs((points[Joint.LEFT_SHOULDER] - points[Joint.RIGHT_SHOULDER]) @ right) / 2 + SHOULDER * scale
    hips = abs((points[Joint.LEFT_HIP] - points[Joint.RIGHT_HIP]) @ right) / 2 + HIP * scale
    shoulders, hips = (max(half, NARROWEST * scale) for half in (shoulders, hips))
    return np.asarray(shoulders + (hips - shoulders) * along)


def _beyond_border(skeleton: Skeleton, pixels: Floats) -> Floats:
    """Return the costs (14, N) of giving pixels beyond the border between torso and thighs to the wrong one of them.

    In front the border runs from the crotch up to the sides, behind it runs below the seat.
    """
    hips, shoulders = skeleton.points[Joint.HIPS], skeleton.points[Joint.SHOULDERS]
    down = unit(hips - shoulders)
    right = np.array([down[1], -down[0]])
    below, aside = (pixels - hips) @ down / skeleton.scale, np.abs((pixels - hips) @ right) / skeleton.scale
    front = (1 + skeleton.torso[0]) / 2  # 1 where the front is seen, 0 for the back
    border = front * np.maximum(CROTCH - GROIN * aside, -0.03) + (1 - front) * SEAT
    beyond = np.clip((below - border) / BORDER, -1, 1)
    costs = np.zeros((len(CAPSULES), len(pixels)))
    costs[PARTS == Part.TORSO] = np.maximum(beyond, 0)
    costs[(PARTS == Part.UPPER_LEG_LEFT) | (PARTS == Part.UPPER_LEG_RIGHT)] = np.maximum(-beyond, 0)
    return costs


def _local(skeleton: Skeleton, capsule: Capsule, along: Floats, across: Floats) -> Floats:
    """Return the points (N, 3) that pixels show in the part's frame: outer, along and front, see `surface`."""
    x, z = getattr(skeleton, capsule.facing)
    # An ellipse is a circle seen through a linear map: what turns the circle is the person's left, the width times as
    # long, and the front, the depth times as long.
    x, z = unit(np.array([x, capsule.deep * z]))
    toward = np.sqrt(1 - across**2)  # the surface's normal: to the right in the image, and towards the viewer
    left, front = across * x - toward * z, across * z + toward * x
    side = -1 if capsule.part % 2 and capsule.part >= Part.HAND_LEFT else 1  # outer is left, or right on right limbs
    return np.stack([side * left, along, front], axis=1)
