"""Putting a picture together: a person in a pose, before a camera, in the crop that a detector made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .people import Person
from .pose import Frames, view_rotation, walking
from .raycast import Window, bounds
from .render import Scene
from .scenery import Camera, backdrop, cast_shadow, occlude
from .surface import Part

USUAL, JUNK, EMPTY = "usual", "junk", "empty"
FILL = 0.92  # share of the picture's height that a well-cropped body takes


@dataclass(frozen=True)
class Chances:
    """How often something hides the person, and how often the detector's box is bad."""

    occluded: float
    badly_cropped: float


def compose(
    person: Person,
    camera: Camera,
    turn: float,
    height: int,
    width: int,
    generator: np.random.Generator,
    chances: Chances,
    crop: str = USUAL,
) -> Scene:
    """Draw the scene of one picture.

    Args:
        turn: the view, in radians: 0 from the front, a quarter circle the person's right side.
        crop: USUAL, JUNK (a box that is of no use), EMPTY (nobody in it).
    """
    rotation = view_rotation(turn, camera.pitch + generator.normal(0, 0.03), generator.normal(0, 0.03))
    frames = person.body.posed(walking(generator)).seen(rotation)
    frames, window = _crop(person.body, frames, height, width, generator, chances, crop)
    place = backdrop(generator, camera, height, width)
    cast_shadow(place, *_feet(person.body, frames, window))
    hidden = generator.random() < chances.occluded
    return Scene(
        window,
        person.body,
        frames,
        person.appearance,
        camera,
        place,
        noise=generator.standard_normal((height, width, 1), np.float32),
        before=occlude(generator, height, width) if hidden else None,
    )


def _crop(
    person: Body,
    frames: Frames,
    height: int,
    width: int,
    generator: np.random.Generator,
    chances: Chances,
    crop: str,
) -> tuple[Frames, Window]:
    """Return the frames moved to where the detector's box has its centre at 0, and that box's window."""
    draw = generator.uniform
    extent = bounds(person.solids, frames)[person.solids.part != Part.BAG]
    left, low = extent[:, :2].min(axis=0)
    right, high = extent[:, 2:].max(axis=0)
    scale = min(FILL * height / (high - low), 1.05 * width / (right - left)) * draw(0.93, 1.06)
    x = (left + right) / 2 + generator.normal(0, 0.035) * width / scale
    y = (low + high) / 2 + generator.normal(0, 0.02) * height / scale
    if crop == JUNK:
        scale *= draw(1.6, 2.6)
        x += draw(-0.3, 0.3) * width / scale
        y += draw(-0.4, 0.4) * (high - low)
    elif generator.random() < chances.badly_cropped:
        kind = generator.integers(4)
        if kind == 0:  # the legs are cut off
            scale *= draw(1.25, 1.8)
            y = high - 0.46 * height / scale
        elif kind == 1:  # the head is cut
            scale *= draw(1.05, 1.25)
            y -= draw(0.1, 0.2) * height / scale
        elif kind == 2:  # off to a side
            x += draw(0.18, 0.34) * generator.choice([-1, 1]) * width / scale
        else:  # the box is too large
            scale *= draw(0.6, 0.8)
            x, y = x + draw(-0.15, 0.15) * width / scale, y + draw(-0.1, 0.1) * height / scale
    away = 1e3 if crop == EMPTY else 0.0
    shift = np.array([away - x, -y, 0.0])
    return frames.moved(shift), Window(height, width, scale, scale * draw(0.93, 1.07))


def _feet(person: Body, frames: Frames, window: Window) -> tuple[float, float, float]:
    """Return row and column of the floor between the feet, and how wide they stand, in pixels."""
    extent = bounds(person.solids, frames)
    extent = extent[np.isin(person.solids.part, (Part.FOOT_LEFT, Part.FOOT_RIGHT))]
    left, low = extent[:, :2].min(axis=0)
    right = float(extent[:, 2].max())
    row = window.height / 2 - low * window.down
    column = window.width / 2 + (left + right) / 2 * window.across
    return float(row), float(column), float(right - left) * window.across
