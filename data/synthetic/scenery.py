"""What is around a synthetic person: the camera's place and look, clutter behind, and what stands before."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .people import CLOTHES

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """A camera: how it looks down, how it colours what it sees, and the place that it watches."""

    pitch: float
    light: tuple[float, float, float]  # direction to the light, in the view's space
    ambient: float
    gain: tuple[float, float, float]
    gamma: float
    blur: float  # standard deviation in pixels of a picture of 128 rows
    noise: float
    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    horizon: float  # where the wall meets the floor, as a share of the height


def draw_camera(generator: np.random.Generator) -> Camera:
    """Draw a camera; all pictures that it takes share it."""
    draw = generator.uniform
    light = np.array([draw(-1, 1), draw(0.3, 1.2), draw(0.4, 1.2)])
    light /= np.linalg.norm(light)
    warm = draw(-0.16, 0.16)
    gain = draw(0.78, 1.12) * np.array([1 + warm, 1 + draw(-0.04, 0.06), 1 - warm])
    grey = draw(0.3, 0.75, 2)[:, None] + generator.uniform(-0.06, 0.06, (2, 3))
    return Camera(
        pitch=float(draw(0.05, 0.42)),
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=float(draw(0.45, 0.75)),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        gamma=float(draw(0.8, 1.3)),
        blur=float(draw(0.35, 0.75)),
        noise=float(draw(0.008, 0.03)),
        wall=(float(grey[0, 0]), float(grey[0, 1]), float(grey[0, 2])),
        floor=(float(grey[1, 0]), float(grey[1, 1]), float(grey[1, 2])),
        horizon=float(draw(0.15, 0.6)),
    )


def backdrop(generator: np.random.Generator, camera: Camera, height: int, width: int) -> Image:
    """Draw a cluttered place, float32 (H, W, 3) RGB: wall and floor, blotches, boxes, poles, passers-by."""
    picture = np.empty((height, width, 3), np.float32)
    horizon = int(height * (camera.horizon + generator.uniform(-0.1, 0.1)))
    picture[:horizon] = camera.wall
    picture[horizon:] = camera.floor
    _lay_tiles(generator, picture[horizon:])
    blotches = np.zeros((height, width), np.float32)
    for cells, strength in ((3, 0.06), (12, 0.025)):
        coarse = generator.normal(0, strength, (2 * cells, cells)).astype(np.float32)
        blotches += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += blotches[:, :, None]
    for _ in range(int(generator.integers(3, 9))):
        _place_box(generator, picture, horizon)
    for _ in range(int(generator.integers(0, 3))):
        _place_pole(generator, picture)
    if generator.random() < 0.35:
        _place_passer_by(generator, picture)
    return picture


def cast_shadow(picture: Image, row: float, column: float, wide: float) -> None:
    """Darken the floor around feet that stand `wide` pixels apart at (row, column)."""
    height, width = picture.shape[:2]
    if not (-wide < column < width + wide and 0 < row < height + wide):
        return
    shadow = np.ones((height, width), np.float32)
    axes = _at(max(3.0, 0.7 * wide), max(2.0, 0.2 * wide))
    cv2.ellipse(shadow, _at(column, row), axes, 0, 0, 360, 0.6, cv2.FILLED)
    picture *= cv2.blur(shadow, (5, 5))[:, :, None]


def occlude(generator: np.random.Generator, height: int, width: int) -> tuple[Image, NDArray[np.bool_]]:
    """Draw something that stands before the person; return its picture (H, W, 3) and where it is (H, W)."""
    picture = np.zeros((height, width, 3), np.float32)
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
    cv2.rectangle(picture, *corners, _colour(generator), cv2.FILLED)
    for _ in range(4):
        x, y = int(generator.integers(width)), int(generator.integers(height))
        shape = int(generator.integers(2, 1 + width // 3)), int(generator.integers(2, 1 + height // 8))
        cv2.rectangle(picture, (x, y), (x + shape[0], y + shape[1]), _colour(generator), cv2.FILLED)
    return picture, mask.astype(bool)


def _lay_tiles(generator: np.random.Generator, floor: Image) -> None:
    if generator.random() < 0.5 and len(floor):
        step = int(generator.integers(6, 20)) * len(floor) // 64 + 2
        floor[::step] *= 0.85


def _place_box(generator: np.random.Generator, picture: Image, horizon: int) -> None:
    height, width = picture.shape[:2]
    w, h = generator.uniform(0.08, 0.5) * width, generator.uniform(0.04, 0.3) * height
    x, y = generator.uniform(-0.2, 1) * width, generator.uniform(-0.1, 0.3) * height + horizon - h
    low, high = (int(x), int(y)), (int(x + w), int(y + h))
    colour = _colour(generator)
    if generator.random() < 0.25:
        cv2.ellipse(picture, (low[0], low[1]), (int(w / 2) + 1, int(h / 2) + 1), 0, 0, 360, colour, cv2.FILLED)
        return
    cv2.rectangle(picture, low, high, colour, cv2.FILLED)
    if generator.random() < 0.5:
        cv2.rectangle(picture, low, high, _colour(generator), 1)


def _place_pole(generator: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    x, tilt = int(generator.integers(width)), int(generator.integers(-3, 4))
    thick = max(1, int(generator.uniform(0.02, 0.08) * width))
    cv2.line(picture, (x, 0), (x + tilt, height), _colour(generator), thick)


def _place_passer_by(generator: np.random.Generator, picture: Image) -> None:
    """Sketch somebody farther away: a head, a trunk, two legs."""
    height, width = picture.shape[:2]
    tall = generator.uniform(0.35, 0.7) * height
    x = generator.choice([generator.uniform(-0.05, 0.25), generator.uniform(0.75, 1.05)]) * width
    y = generator.uniform(0.05, 0.25) * height
    unit = tall / 8
    stride = generator.uniform(0.2, 1.2) * unit
    legs, thick = _colour(generator), max(1, int(unit))
    for foot in (-stride, stride):
        cv2.line(picture, _at(x, y + 3.9 * unit), _at(x + foot, y + tall), legs, thick)
    cv2.ellipse(picture, _at(x, y + 2.6 * unit), _at(1.1 * unit, 1.7 * unit), 0, 0, 360, _colour(generator), cv2.FILLED)
    cv2.circle(picture, _at(x, y + 0.5 * unit), max(1, int(0.55 * unit)), (0.6, 0.45, 0.35), cv2.FILLED)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _colour(generator: np.random.Generator) -> tuple[float, float, float]:
    """Draw a colour, half the time one that clothes have."""
    if generator.random() < 0.5:
        return CLOTHES[generator.integers(len(CLOTHES))]
    red, green, blue = (generator.uniform(0.15, 0.85) + generator.uniform(-0.1, 0.1, 3)).tolist()
    return red, green, blue
