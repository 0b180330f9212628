"""The fused surface of a person: the mean colour of each texel over images, each with its own colours of light.

Sums are float64 (24 S S, 4): colour times weight, and weight. The surface of all images but one is a difference of
sums, so that no image is compared with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsa_data.charts import CHARTS

from ..warp import landings

FEWEST = 20  # pixels that both have, to say how one image's light differs
SEEN = 0.05  # weight of a texel, after smoothing, from which on its colour is known
ROUNDS = 3  # in which the gains of the images are fitted to each other's surface
TOO_FAR = 0.1  # squared difference of two colours, in units of the mean colour, that counts as this at most


@dataclass(frozen=True)
class Pixels:
    """The pixels of one body.

    Attributes:
        chart: uint8 (n,).
        texel: int64 (n,), index into 24 S S.
        colour: float64 (n, 3), RGB in 0 .. 1.
    """

    chart: np.ndarray
    texel: np.ndarray
    colour: np.ndarray


def pixels_of(image: np.ndarray, iuv: np.ndarray, size: int) -> Pixels:
    """Return the pixels of the body in `image` uint8 (H, W, 3), by the map `iuv` uint8 (H, W, 3)."""
    pixel, texel = landings(iuv, size)
    return Pixels(iuv.reshape(-1, 3)[pixel, 0], texel, image.reshape(-1, 3)[pixel] / 255)


def sums_of(pixels: Pixels, gain: np.ndarray, size: int) -> np.ndarray:
    """Return the sums of one image: float64 (24 S S, 4).

    Args:
        gain: (3,), that the image's colours are multiplied by.
    """
    length = CHARTS * size * size
    sums = np.empty((length, 4))
    for channel in range(3):
        sums[:, channel] = np.bincount(pixels.texel, pixels.colour[:, channel] * gain[channel], length)
    sums[:, 3] = np.bincount(pixels.texel, minlength=length)
    return sums


def smoothed(sums: np.ndarray, size: int) -> np.ndarray:
    """Return sums with each texel's shared with its neighbours on the chart, by 1 2 1 twice along rows and columns."""
    grid = sums.reshape(CHARTS, size, size, 4)
    for axis in (1, 1, 2, 2):
        grid = np.moveaxis(grid, axis, 0)
        padded = np.concatenate([grid[:1], grid, grid[-1:]])
        grid = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return np.ascontiguousarray(grid).reshape(-1, 4)


def colours_at(sums: np.ndarray, texel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the surface's colours (n, 3) at texels, and whether they are known, bool (n,)."""
    found = sums[texel]
    return found[:, :3] / np.maximum(found[:, 3:], 1e-9), found[:, 3] >= SEEN


def gain_against(pixels: Pixels, sums: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the gain (3,) with which an image's colours are nearest to the surface's; `before` if too few are seen."""
    colour, known = colours_at(sums, pixels.texel)
    if known.sum() < FEWEST:
        return before
    return nearest_gain(pixels.colour[known], colour[known])


def nearest_gain(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the gain (3,) with which our colours (n, 3) are nearest to theirs, by least squares."""
    return np.asarray((ours * theirs).sum(axis=0) / np.maximum((ours**2).sum(axis=0), 1e-9))


def fit_gains(bodies: Sequence[Pixels], size: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return a gain (3,) and the smoothed sums of each image of a person."""
    empty = np.zeros((CHARTS * size * size, 4))
    gains = [1 / np.maximum(body.colour.mean(axis=0), 0.01) if len(body.texel) else np.ones(3) for body in bodies]
    for _ in range(ROUNDS):
        sums = [smoothed(sums_of(body, gain, size), size) for body, gain in zip(bodies, gains, strict=True)]
        total = sum(sums, empty)
        gains = [gain_against(body, total - own, gain) for body, own, gain in zip(bodies, sums, gains, strict=True)]
    return gains, [smoothed(sums_of(body, gain, size), size) for body, gain in zip(bodies, gains, strict=True)]


def distances(pixels: Pixels, gain: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's squared distance from the surface, (n,), at most `TOO_FAR`, and whether it is known."""
    colour, known = colours_at(sums, pixels.texel)
    return np.minimum(((pixels.colour * gain - colour) ** 2).mean(axis=1), TOO_FAR), known
