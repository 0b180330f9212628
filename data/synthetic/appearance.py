"""The appearance of a synthetic person: the colour of the surface as a function of chart, u and v.

Sizes are in centimetres on a body of average size, so that a pattern or a mark is as large on a sleeve as on the chest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Colour = tuple[float, float, float]

# Length along u and width across v of each chart in centimetres; chart I is row I. Nothing on hands, feet and head
# depends on their size.
SIZE = np.array(
    [[1, 1], [62, 50], [62, 50], [20, 18], [20, 18], [26, 24], [26, 24]]
    + [[46, 26]] * 4 + [[42, 18]] * 4 + [[36, 15]] * 4 + [[26, 11]] * 4 + [[28, 26]] * 2,
    np.float32,
)  # fmt: skip
_TRUNK, _ARM, _HAND, _HEAD = 0, 1, 2, 3
_LIMB = np.array([0, *[_TRUNK] * 2, *[_HAND] * 2, *[_TRUNK] * 2, *[_TRUNK] * 8, *[_ARM] * 8, *[_HEAD] * 2])
# One coordinate runs from the neck down: 0 to 1 on the torso, to 2 on the upper leg, to 3 on the lower leg, to 4 on the
# foot. Another runs down the arm: 0 to 1 on the upper arm, to 2 on the lower arm. Here is where each chart begins.
_BEGIN = np.array([0, *[0] * 2, *[0] * 2, *[3] * 2, *[1] * 4, *[2] * 4, *[0] * 4, *[1] * 4, *[0] * 2], np.float32)
# The v of the outer seam on each chart of legs and arms; 9, which no v reaches, elsewhere.
_SEAM = np.full(25, 9.0, np.float32)
_SEAM[[7, 8, 11, 12, 13, 14]] = 1
_SEAM[[9, 10]] = 0
_SEAM[[17, 18, 21, 22]] = 0.6

BAG_FRAME = 68.0  # length in centimetres of the frame that a bag's `along` counts in

PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "block", "seam")
SHAPES = ("disc", "bar", "cross", "ring")


@dataclass(frozen=True)
class Garment:
    """A garment: two colours and the pattern in which they alternate; `period` in centimetres."""

    base: Colour
    second: Colour
    pattern: str = "plain"
    period: float = 8.0
    phase: float = 0.0

    def colours(self, chart: NDArray[np.integer], u: Floats, v: Floats) -> Floats:
        """Return the colours (N, 3) of points of the garment."""
        if self.pattern == "plain":
            return np.broadcast_to(np.array(self.base, np.float32), (len(u), 3))
        size = SIZE[chart]
        along = u * size[:, 0] / self.period + self.phase
        around = (v - 0.5) * size[:, 1] / self.period + self.phase
        if self.pattern == "hoops":
            share = (along % 1 < 0.5).astype(np.float32)
        elif self.pattern == "stripes":
            share = (around % 1 < 0.4).astype(np.float32)
        elif self.pattern == "checks":
            share = 0.5 * ((along % 1 < 0.5).astype(np.float32) + (around % 1 < 0.5))
        elif self.pattern == "dots":
            share = ((along % 1 - 0.5) ** 2 + (around % 1 - 0.5) ** 2 < 0.1).astype(np.float32)
        elif self.pattern == "block":
            share = ((_LIMB[chart] == _ARM) | (_BEGIN[chart] + u < 0.42)).astype(np.float32)
        else:  # seam
            share = (np.abs(v - _SEAM[chart]) < 0.17).astype(np.float32)
        base, second = np.array(self.base, np.float32), np.array(self.second, np.float32)
        colours: Floats = base + share[:, None] * (second - base)
        return colours


@dataclass(frozen=True)
class Mark:
    """A patch on the surface, centred at (chart, u, v) and `size` centimetres across: a badge, a print, a stain."""

    chart: int
    u: float
    v: float
    size: float
    shape: str
    colour: Colour

    def paint(self, colours: Floats, chart: NDArray[np.integer], u: Floats, v: Floats) -> None:
        """Paint the mark over the colours (N, 3) of points, in place."""
        points = np.flatnonzero(chart == self.chart)
        length, width = SIZE[self.chart]
        along = (u[points] - self.u) * (2 * length / self.size)  # -1 to 1 on the mark
        around = (v[points] - self.v) * (2 * width / self.size)
        if self.shape == "bar":
            inside = (np.abs(along) < 0.5) & (np.abs(around) < 1.3)
        elif self.shape == "cross":
            inside = np.minimum(np.abs(along), np.abs(around)) < 0.4
            inside &= np.maximum(np.abs(along), np.abs(around)) < 1.1
        else:
            radius = along**2 + around**2
            inside = radius < 1
            if self.shape == "ring":
                inside &= radius > 0.25
        colours[points[inside]] = self.colour


@dataclass(frozen=True)
class Bag:
    """The colours of a bag, which no chart covers: bands of two colours, `period` in centimetres.

    The angle `slant`, in radians, turns the bands from level to upright.
    """

    base: Colour
    second: Colour
    period: float = 15.0
    phase: float = 0.0
    slant: float = 0.0

    def colours(self, local: Floats) -> NDArray[np.float32]:
        """Return (N, 3) float32 RGB in [0, 1] of points (N, 3) of the bag, in its frame: outer, along, front."""
        across = 100 * (local[:, 0] + local[:, 2])  # centimetres; the sum of both axes, so that every side has bands
        distance = np.cos(self.slant) * BAG_FRAME * local[:, 1] + np.sin(self.slant) * across
        second = (distance / self.period + self.phase) % 1 < 0.5
        return np.where(second[:, None], np.array(self.second, np.float32), np.array(self.base, np.float32))


@dataclass(frozen=True)
class Appearance:
    """The appearance of a person.

    `sleeve` is where the sleeve ends, from the shoulder: 1 is the elbow, 2 the wrist. `hem` and `leg` are where top and
    bottom end, `boot` where the shoes begin, from the neck: 1 is the end of the torso, 2 the knee, 3 the ankle.
    `hairline` is the v at which the face ends.
    """

    skin: Colour
    hair: Colour
    hairline: float
    top: Garment
    bottom: Garment
    shoes: Colour
    sleeve: float
    hem: float
    leg: float
    boot: float = 2.95
    collar: float = 0.08
    long_hair: bool = False
    cap: Colour | None = None
    straps: str = "none"  # none, backpack, shoulder
    strap: Colour = (0.2, 0.2, 0.2)
    bag: Bag = Bag((0.2, 0.2, 0.2), (0.2, 0.2, 0.2))
    marks: tuple[Mark, ...] = ()

    def albedo(self, chart: NDArray[np.integer], u: Floats, v: Floats) -> NDArray[np.float32]:
        """Return (N, 3) float32 RGB in [0, 1] of points (chart, u, v), each (N,), chart from 1 to 24."""
        colours = np.empty((len(u), 3), np.float32)
        colours[:] = self.skin
        limb = _LIMB[chart]
        distance = _BEGIN[chart] + u  # from the neck, or from the shoulder on the arms
        trunk = limb == _TRUNK
        top = (trunk & (distance < self.hem)) | ((limb == _ARM) & (distance < self.sleeve))
        bottom = trunk & ~top & (distance < self.leg)
        shoe = trunk & ~top & (distance >= self.boot)
        for mask, garment in ((bottom, self.bottom), (top, self.top)):
            points = np.flatnonzero(mask)
            colours[points] = garment.colours(chart[points], u[points], v[points])
        colours[shoe] = self.shoes
        torso = chart == 2
        colours[torso & (u < self.collar * (1 - np.abs(v - 0.5) * 6))] = self.skin
        self._paint_head(colours, limb == _HEAD, chart, u, v)
        self._paint_straps(colours, chart, u, v)
        for mark in self.marks:
            mark.paint(colours, chart, u, v)
        return colours

    def _paint_head(
        self, colours: Floats, head: NDArray[np.bool_], chart: NDArray[np.integer], u: Floats, v: Floats
    ) -> None:
        points = np.flatnonzero(head)
        u, v = u[points], v[points]
        behind = np.where(chart[points] == 23, 1 - u, u)  # 0 in the middle of the face, 1 at the back of the head
        edge = np.interp(behind, (0, 0.3, 0.42, 0.6, 1), (1, 0.97, 0.62, 0.36, 0.28)) * self.hairline
        if self.long_hair:
            edge = np.where(behind > 0.36, -1, edge)
        colours[points[v > edge]] = self.hair
        eyes = (np.abs(behind - 0.16) < 0.06) & (np.abs(v - 0.58) < 0.03)
        colours[points[eyes]] = np.array(self.skin, np.float32) * 0.35
        mouth = (behind < 0.09) & (np.abs(v - 0.33) < 0.02)
        colours[points[mouth]] = np.array(self.skin, np.float32) * (0.75, 0.55, 0.55)
        if self.cap is not None:
            colours[points[v > 0.72]] = self.cap

    def _paint_straps(self, colours: Floats, chart: NDArray[np.integer], u: Floats, v: Floats) -> None:
        if self.straps == "backpack":
            strap = (chart == 2) & (u < 0.5) & (np.abs(np.abs(v - 0.5) - 0.22) < 0.035)
        elif self.straps == "shoulder":  # from the left shoulder to the right hip, on both sides
            strap = (chart <= 2) & (np.abs(v - 0.25 - 0.75 * u) < 0.04) & (u < 0.9)
        else:
            return
        colours[strap] = self.strap


def texture(appearance: Appearance, size: int) -> NDArray[np.uint8]:
    """Return the true part images (24, S, S, 3) uint8 RGB: rows are u, columns v (texel centres)."""
    middle = (np.arange(size) + 0.5) / size
    chart, u, v = np.meshgrid(np.arange(1, 25), middle, middle, indexing="ij")
    colours = appearance.albedo(chart.ravel(), u.ravel(), v.ravel())
    return np.rint(255 * colours).astype(np.uint8).reshape(24, size, size, 3)
