"""The warp: every body pixel goes to its place (u, v) of its chart (Zhang et al., CVPR 2019, section 3.1).

Rows of a part picture are U, columns are V, as in the paper; which texel a byte of U or V means is the project's
contract (docs/design/contracts.md): min(U*S // 255, S - 1).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from dsa_app.errors import ConfigError, ImageError
from dsa_data.charts import CHARTS

from .config import LARGEST, SMALLEST, Collision


def warp(
    image: np.ndarray, iuv: np.ndarray, size: int = 32, collision: Collision = "last"
) -> tuple[np.ndarray, np.ndarray]:
    """Copy each body pixel to its texel.

    Args:
        image: uint8 (H, W, 3), RGB.
        iuv: uint8 (H, W, 3): chart 0..24, round(255 u), round(255 v).
        size: S, 2 to 256.
        collision: of several pixels on one texel, keep the "last" in row-major order or the "mean", half rounded up.

    Returns:
        texels uint8 (24, S, S, 3), RGB, 0 where nothing landed; valid bool (24, S, S), where something did.

    Raises:
        ImageError: if picture and map differ in size, are no uint8 (H, W, 3), or a chart is above 24.
        ConfigError: for a size or a collision rule that there is not.
    """
    check(image, iuv, size)
    if collision not in ("last", "mean"):
        raise ConfigError(f"No collision rule is called {collision!r}. Known: last, mean.")
    pixel, texel = landings(iuv, size)
    colours = image.reshape(-1, 3)  # (HW, 3)
    texels = np.zeros((CHARTS * size * size, 3), np.uint8)
    valid = np.zeros(CHARTS * size * size, bool)
    valid[texel] = True
    if collision == "last":
        # By maximum, not by assignment: NumPy does not promise an order for repeated indices.
        last = np.zeros(len(texels), np.intp)
        np.maximum.at(last, texel, pixel)
        kept = last.take(texel) == pixel
        texels[texel[kept]] = colours.take(pixel[kept], axis=0)
    else:
        landed = colours.take(pixel, axis=0)
        count = np.bincount(texel, minlength=len(texels))[valid]
        for channel in range(3):
            total = np.bincount(texel, landed[:, channel], len(texels))[valid]  # exact: far below 2**53
            texels[valid, channel] = (2 * total + count) // (2 * count)
    return texels.reshape(CHARTS, size, size, 3), valid.reshape(CHARTS, size, size)


def landings(iuv: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the body's pixels land.

    Args:
        iuv: uint8 (H, W, 3), charts up to 24.

    Returns:
        pixel: int64 (n,), the body's pixels counted row by row, ascending.
        texel: int64 (n,), the texel of each, counted over (24, S, S).
    """
    flat = iuv.reshape(-1, 3)
    pixel = (flat[:, 0] != 0).nonzero()[0]
    body = flat.take(pixel, axis=0)  # (n, 3)
    start, row, column = _steps(size)
    texel = start.take(body[:, 0])
    texel += row.take(body[:, 1])
    texel += column.take(body[:, 2])
    return pixel, texel


@cache
def _steps(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each byte of I, U and V adds to a texel's number: tables of 256."""
    byte = np.arange(256)
    place = np.minimum(byte * size // 255, size - 1)
    return (byte - 1) * size * size, place * size, place


def check(image: np.ndarray, iuv: np.ndarray, size: int) -> None:
    """Raise unless picture and map belong together and the size is one that there is; see `warp`."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"Part pictures of size {size}: expected {SMALLEST} to {LARGEST}. Mend warp.size.")
    for name, array in (("picture", image), ("I, U, V map", iuv)):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ImageError(f"A {name} must be uint8 (H, W, 3), found {array.dtype} {array.shape}.")
    if image.shape != iuv.shape:
        (height, width), (map_height, map_width) = image.shape[:2], iuv.shape[:2]
        raise ImageError(
            f"The picture is {width}x{height} pixels, its I, U, V map {map_width}x{map_height}. "
            "Make the map from this very picture: densepose-extract."
        )
    chart = int(iuv[..., 0].max(initial=0))
    if chart > CHARTS:
        y, x = np.argwhere(iuv[..., 0] == chart)[0]
        raise ImageError(
            f"The I, U, V map has chart {chart} at row {y}, column {x}; charts are 1 to {CHARTS}. "
            "Are its channels in the order I, U, V?"
        )
