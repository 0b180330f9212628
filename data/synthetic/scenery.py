"""The surroundings of a synthetic person: the camera, the background, the shadow, and what hides the person."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .people import CLOTHES

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """A camera: its pitch, the light, the changes that it makes to colours, and its background."""

    pitch: float
    light: tuple[float, float, float]  # direction to the light, in the view's space
    ambient: float
    gain: tuple[float, float, float]
    gamma: float
    blur: float  # standard deviation in pixels of an image of 128 rows
    noise: float
    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    horizon: float  # the row where the wall meets the floor, divided by the height


def sample_camera(generator: np.random.Generator) -> Camera:
    """Sample a camera; all its images share it."""
    uniform = generator.uniform
    light = np.array([uniform(-1, 1), uniform(0.3, 1.2), uniform(0.4, 1.2)])
    light /= np.linalg.norm(light)
    warm = uniform(-0.16, 0.16)
    gain = uniform(0.78, 1.12) * np.array([1 + warm, 1 + uniform(-0.04, 0.06), 1 - warm])
    grey = uniform(0.3, 0.75, 2)[:, None] + generator.uniform(-0.06, 0.06, (2, 3))
    return Camera(
        pitch=float(uniform(0.05, 0.42)),
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=float(uniform(0.45, 0.75)),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        gamma=float(uniform(0.8, 1.3)),
        blur=float(uniform(0.35, 0.75)),
        noise=float(uniform(0.008, 0.03)),
        wall=(float(grey[0, 0]), float(grey[0, 1]), float(grey[0, 2])),
        floor=(float(grey[1, 0]), float(grey[1, 1]), float(grey[1, 2])),
        horizon=float(uniform(0.15, 0.6)),
    )


def sample_background(generator: np.random.Generator, camera: Camera, height: int, width: int) -> Image:
    """Render a cluttered background, float32 (H, W, 3) RGB: wall and floor, blotches, boxes, poles, a passer-by."""
    image = np.empty((height, width, 3), np.float32)
    horizon = int(height * (camera.horizon + generator.uniform(-0.1, 0.1)))
    image[:horizon] = camera.wall
    image[horizon:] = camera.floor
    _add_tiles(generator, image[horizon:])
    blotches = np.zeros((height, width), np.float32)
    for cells, strength in ((3, 0.06), (12, 0.025)):
        coarse = generator.normal(0, strength, (2 * cells, cells)).astype(np.float32)
        blotches += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image += blotches[:, :, None]
    for _ in range(int(generator.integers(3, 9))):
        _add_box(generator, image, horizon)
    for _ in range(int(generator.integers(0, 3))):
        _add_pole(generator, image)
    if generator.random() < 0.35:
        _add_passer_by(generator, image)
    return image


def cast_shadow(image: Image, row: float, column: float, wide: float) -> None:
    """Darken the floor around the feet, which are `wide` pixels apart with their middle at (row, column)."""
    height, width = image.shape[:2]
    if not (-wide < column < width + wide and 0 < row < height + wide):
        return
    shadow = np.ones((height, width), np.float32)
    axes = _pixel(max(3.0, 0.7 * wide), max(2.0, 0.2 * wide))
    cv2.ellipse(shadow, _pixel(column, row), axes, 0, 0, 360, 0.6, cv2.FILLED)
    image *= cv2.blur(shadow, (5, 5))[:, :, None]


def sample_occluder(generator: np.random.Generator, height: int, width: int) -> tuple[Image, NDArray[np.bool_]]:
    """Render an object in front of the person; return its image (H, W, 3) and its mask (H, W)."""
    image = np.zeros((height, width, 3), np.float32)
    mask = np.zeros((height, width), np.uint8)
    kind = generator.integers(4)
    top, side = generator.uniform(0.5, 0.8), generator.uniform(0.15, 0.4)
    if kind == 0:  # a wall, a table, a parked car
        corners = (0, int(top * height)), (width, height)
    elif kind == 1:  # a door post, a pillar, from the left or the right
        left = generator.random() < 0.5
        corners = ((0, 0), (int(side * width), height)) if left else ((int((1 - side) * width), 0), (width, height))
    elif kind == 2:  # a pole
        middle = generator.uniform(0.2, 0.8) * width
        corners = (int(middle), 0), (int(middle + max(1, 0.09 * width)), height)
    else:  # a box, a bicycle's bag, a bin
        x, y = generator.uniform(0, 0.6) * width, generator.uniform(0.35, 0.8) * height
        corners = (int(x), int(y)), (int(x + 0.45 * width), int(y + 0.3 * height))
    cv2.rectangle(mask, *corners, 1, cv2.FILLED)
    cv2.rectangle(image, *corners, _sample_colour(generator), cv2.FILLED)
    for _ in range(4):
        x, y = int(generator.integers(width)), int(generator.integers(height))
        shape = int(generator.integers(2, 1 + width // 3)), int(generator.integers(2, 1 + height // 8))
        cv2.rectangle(image, (x, y), (x + shape[0], y + shape[1]), _sample_colour(generator), cv2.FILLED)
    return image, mask.astype(bool)


def _add_tiles(generator: np.random.Generator, floor: Image) -> None:
    if generator.random() < 0.5 and len(floor):
        step = int(generator.integers(6, 20)) * len(floor) // 64 + 2
        floor[::step] *= 0.85


def _add_box(generator: np.random.Generator, image: Image, horizon: int) -> None:
    height, width = image.shape[:2]
    w, h = generator.uniform(0.08, 0.5) * width, generator.uniform(0.04, 0.3) * height
    x, y = generator.uniform(-0.2, 1) * width, generator.uniform(-0.1, 0.3) * height + horizon - h
    low, high = (int(x), int(y)), (int(x + w), int(y + h))
    colour = _sample_colour(generator)
    if generator.random() < 0.25:
        cv2.ellipse(image, (low[0], low[1]), (int(w / 2) + 1, int(h / 2) + 1), 0, 0, 360, colour, cv2.FILLED)
        return
    cv2.rectangle(image, low, high, colour, cv2.FILLED)
    if generator.random() < 0.5:
        cv2.rectangle(image, low, high, _sample_colour(generator), 1)


def _add_pole(generator: np.random.Generator, image: Image) -> None:
    height, width = image.shape[:2]
    x, tilt = int(generator.integers(width)), int(generator.integers(-3, 4))
    thick = max(1, int(generator.uniform(0.02, 0.08) * width))
    cv2.line(image, (x, 0), (x + tilt, height), _sample_colour(generator), thick)


def _add_passer_by(generator: np.random.Generator, image: Image) -> None:
    """Draw a person in the distance as a sketch: a head, a trunk, two legs."""
    height, width = image.shape[:2]
    tall = generator.uniform(0.35, 0.7) * height
    x = generator.choice([generator.uniform(-0.05, 0.25), generator.uniform(0.75, 1.05)]) * width
    y = generator.uniform(0.05, 0.25) * height
    unit = tall / 8
    stride = generator.uniform(0.2, 1.2) * unit
    legs, thick = _sample_colour(generator), max(1, int(unit))
    for foot in (-stride, stride):
        cv2.line(image, _pixel(x, y + 3.9 * unit), _pixel(x + foot, y + tall), legs, thick)
    cv2.ellipse(
        image,
        _pixel(x, y + 2.6 * unit),
        _pixel(1.1 * unit, 1.7 * unit),
        0,
        0,
        360,
        _sample_colour(generator),
        cv2.FILLED,
    )
    cv2.circle(image, _pixel(x, y + 0.5 * unit), max(1, int(0.55 * unit)), (0.6, 0.45, 0.35), cv2.FILLED)


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _sample_colour(generator: np.random.Generator) -> tuple[float, float, float]:
    """Sample a colour: in half of all cases a colour of clothes."""
    if generator.random() < 0.5:
        return CLOTHES[generator.integers(len(CLOTHES))]
    red, green, blue = (generator.uniform(0.15, 0.85) + generator.uniform(-0.1, 0.1, 3)).tolist()
    return red, green, blue
