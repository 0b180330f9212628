"""The warp: every body pixel is copied to the coordinates (u, v) of its chart (Zhang et al., CVPR 2019, section 3.1).

Rows of a part image are U, columns are V, as in the paper. The texel of a byte of U or V is min(U*S // 255, S - 1)
(docs/design/contracts.md). A map in 16 bits has fine = floor(65536 u), whose texel is (2 fine + 1) S // 131072: of the
middle of the interval that it stands for, and exactly floor(u S) where S is a power of 2.
"""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np

from dsa_app.errors import ConfigError, ImageError
from dsa_data.charts import CHARTS

from .config import LARGEST, SMALLEST, Collision


def warp(
    image: np.ndarray,
    iuv: np.ndarray,
    size: int = 32,
    collision: Collision = "last",
    fine: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Copy each body pixel to its texel.

    Args:
        image: uint8 (H, W, 3), RGB.
        iuv: uint8 (H, W, 3): chart 0..24, round(255 u), round(255 v).
        size: S, 2 to 256.
        collision: of several pixels on one texel, keep the "last" in row-major order, their "mean", half rounded up, or
            the "surest", the last of those with the highest confidence.
        fine: uint16 (H, W, 2), u and v in 16 bits (`dsa_data.stores.iuv.refine`), used in place of the bytes.
        confidence: uint8 (H, W), of the map (`dsa_data.stores.iuv.IuvMap`); for "surest" alone.

    Returns:
        texels uint8 (24, S, S, 3), RGB, 0 where no pixel landed; valid bool (24, S, S), where one did.

    Raises:
        ImageError: if image and map differ in size or are not uint8 (H, W, 3), or if a chart is above 24.
        ConfigError: for a size out of range, an unknown collision rule, or "surest" without a confidence.
    """
    check(image, iuv, size)
    return _copied(image, iuv, size, collision, fine, confidence)


def warp_sure(
    image: np.ndarray,
    iuv: np.ndarray,
    confidence: np.ndarray,
    size: int = 32,
    collision: Collision = "last",
    fine: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Copy each body pixel to its texel, and its confidence with it.

    Args and errors are those of `warp`.

    Returns:
        texels and valid as `warp` returns them; confidence uint8 (24, S, S), 0 where not valid.
    """
    check(image, iuv, size)
    texels, valid = _copied(np.dstack([image, confidence]), iuv, size, collision, fine, confidence)
    return np.ascontiguousarray(texels[..., :3]), valid, np.ascontiguousarray(texels[..., 3])


def _copied(
    values: np.ndarray,
    iuv: np.ndarray,
    size: int,
    collision: Collision,
    fine: np.ndarray | None,
    confidence: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return values uint8 (H, W, C) as texels uint8 (24, S, S, C), and valid bool (24, S, S); see `warp`."""
    if collision not in get_args(Collision):
        raise ConfigError(f"Unknown collision rule {collision!r}, expected last, mean or surest: warp.collision.")
    pixel, texel = landings(iuv, size, fine)
    channels = values.shape[2]
    values = values.reshape(-1, channels)  # (HW, C)
    texels = np.zeros((CHARTS * size * size, channels), np.uint8)
    valid = np.zeros(CHARTS * size * size, bool)
    valid[texel] = True
    if collision == "mean":
        # The mean in integers, (2 sum + n) // 2n, so that half is rounded up on every machine.
        landed = values.take(pixel, axis=0)  # (n, C)
        count = np.bincount(texel, minlength=len(texels))[valid]
        for channel in range(channels):
            total = np.bincount(texel, landed[:, channel], len(texels))[valid]  # exact in float64: far below 2**53
            texels[valid, channel] = (2 * total + count) // (2 * count)
    else:
        # The last pixel of each texel, by maximum: `texels[texel] = values` would do if NumPy promised an order for
        # repeated indices, which it does not. Then each texel is written once, by the pixel that is its last.
        order = pixel
        if collision == "surest":
            if confidence is None:
                raise ConfigError("warp.collision = surest needs the map's confidence, and it has none. Use last.")
            # By confidence first, then by position: one number for both, and none twice.
            order = confidence.reshape(-1).take(pixel).astype(np.intp) * len(values) + pixel
        last = np.zeros(len(texels), np.intp)
        np.maximum.at(last, texel, order)
        is_last = last.take(texel) == order
        texels[texel[is_last]] = values.take(pixel[is_last], axis=0)
    return texels.reshape(CHARTS, size, size, channels), valid.reshape(CHARTS, size, size)


def landings(iuv: np.ndarray, size: int, fine: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the texel that each body pixel lands on.

    Args:
        iuv: uint8 (H, W, 3), charts up to 24.
        fine: see `warp`.

    Returns:
        pixel: int64 (n,), indices of the body's pixels in row-major order, ascending.
        texel: int64 (n,), the texel of each, as an index into (24, S, S) flattened.
    """
    flat = iuv.reshape(-1, 3)
    pixel = (flat[:, 0] != 0).nonzero()[0]
    body = flat.take(pixel, axis=0)  # (n, 3)
    # texel = ((I - 1) S + row(U)) S + column(V), each term looked up by its byte.
    by_chart, by_u, by_v = _texel_terms(size)
    texel = by_chart.take(body[:, 0])
    if fine is None:
        texel += by_u.take(body[:, 1])
        texel += by_v.take(body[:, 2])
    else:
        row, column = ((2 * fine.reshape(-1, 2).take(pixel, axis=0).astype(np.int64) + 1) * size >> 17).T
        texel += row * size + column
    return pixel, texel


@cache
def _texel_terms(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the terms that each byte of I, U and V adds to the index of a texel: int64 (256,) each."""
    byte = np.arange(256)
    coordinate = np.minimum(byte * size // 255, size - 1)
    return (byte - 1) * size * size, coordinate * size, coordinate


def check(image: np.ndarray, iuv: np.ndarray, size: int) -> None:
    """Raise ImageError or ConfigError unless image and map fit each other and the size is in range; see `warp`."""
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"warp.size = {size} is invalid: expected {SMALLEST} to {LARGEST}.")
    for name, array in (("The image", image), ("The I, U, V map", iuv)):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ImageError(f"{name} is {array.dtype} {array.shape}, expected uint8 (H, W, 3).")
    if image.shape != iuv.shape:
        (height, width), (map_height, map_width) = image.shape[:2], iuv.shape[:2]
        raise ImageError(
            f"The image is {width}x{height} pixels, its I, U, V map {map_width}x{map_height}. "
            "Make the map from this image: densepose-extract run."
        )
    chart = int(iuv[..., 0].max(initial=0))
    if chart > CHARTS:
        y, x = np.argwhere(iuv[..., 0] == chart)[0]
        raise ImageError(
            f"The I, U, V map has chart {chart} at row {y}, column {x}; charts are 1 to {CHARTS}. "
            "Check that its channels are in the order I, U, V."
        )
