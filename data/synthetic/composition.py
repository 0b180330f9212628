"""Composes a scene: a person in a pose, before a camera, in the crop of a person detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .people import Person
from .pose import Frames, sample_pose, view_rotation
from .raycast import Window, bounds
from .render import Scene
from .scenery import Camera, cast_shadow, sample_background, sample_occluder
from .surface import Part

USUAL, JUNK, EMPTY = "usual", "junk", "empty"
FILL = 0.92  # of the image's height is the body's in a good crop


@dataclass(frozen=True)
class Chances:
    """Probabilities: that something hides the person, and that the detector's box is bad."""

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
    """Sample the scene of one image.

    Args:
        turn: the view, in radians: 0 from the front, a quarter circle from the person's right.
        crop: USUAL, JUNK (a useless box), or EMPTY (a box without a person).
    """
    # The order of these calls decides the images: each takes numbers from the same generator.
    rotation = view_rotation(turn, camera.pitch + generator.normal(0, 0.03), generator.normal(0, 0.03))
    frames = person.body.posed(sample_pose(generator)).seen(rotation)
    frames, window = _crop(person.body, frames, height, width, generator, chances, crop)
    background = sample_background(generator, camera, height, width)
    cast_shadow(background, *_feet(person.body, frames, window))
    hidden = generator.random() < chances.occluded
    return Scene(
        window,
        person.body,
        frames,
        person.appearance,
        camera,
        background,
        noise=generator.standard_normal((height, width, 1), np.float32),
        occluder=sample_occluder(generator, height, width) if hidden else None,
    )


def _crop(
    body: Body,
    frames: Frames,
    height: int,
    width: int,
    generator: np.random.Generator,
    chances: Chances,
    crop: str,
) -> tuple[Frames, Window]:
    """Return the frames, moved so that the centre of the detector's box is at 0, and the window of that box."""
    uniform = generator.uniform
    # A good box: the body without its bag, centred, as high or as wide as it fits; each with the detector's errors.
    extent = bounds(body.solids, frames)[body.solids.part != Part.BAG]
    left, low = extent[:, :2].min(axis=0)
    right, high = extent[:, 2:].max(axis=0)
    scale = min(FILL * height / (high - low), 1.05 * width / (right - left)) * uniform(0.93, 1.06)
    x = (left + right) / 2 + generator.normal(0, 0.035) * width / scale
    y = (low + high) / 2 + generator.normal(0, 0.02) * height / scale
    # A bad box: scale is pixels a metre, so a greater scale is a smaller box.
    if crop == JUNK:
        scale *= uniform(1.6, 2.6)
        x += uniform(-0.3, 0.3) * width / scale
        y += uniform(-0.4, 0.4) * (high - low)
    elif generator.random() < chances.badly_cropped:
        kind = generator.integers(4)
        if kind == 0:  # without the legs
            scale *= uniform(1.25, 1.8)
            y = high - 0.46 * height / scale
        elif kind == 1:  # without the head
            scale *= uniform(1.05, 1.25)
            y -= uniform(0.1, 0.2) * height / scale
        elif kind == 2:  # beside the person
            x += uniform(0.18, 0.34) * generator.choice([-1, 1]) * width / scale
        else:  # too large
            scale *= uniform(0.6, 0.8)
            x, y = x + uniform(-0.15, 0.15) * width / scale, y + uniform(-0.1, 0.1) * height / scale
    away = 1e3 if crop == EMPTY else 0.0  # an empty box: the person is a kilometre outside it
    shift = np.array([away - x, -y, 0.0])
    return frames.moved(shift), Window(height, width, scale, scale * uniform(0.93, 1.07))


def _feet(body: Body, frames: Frames, window: Window) -> tuple[float, float, float]:
    """Return row and column of the floor between the feet, and the distance of their outer edges, in pixels."""
    extent = bounds(body.solids, frames)
    extent = extent[np.isin(body.solids.part, (Part.FOOT_LEFT, Part.FOOT_RIGHT))]
    left, low = extent[:, :2].min(axis=0)
    right = float(extent[:, 2].max())
    row = window.height / 2 - low * window.down
    column = window.width / 2 + (left + right) / 2 * window.across
    return float(row), float(column), float(right - left) * window.across
