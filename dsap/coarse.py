"""Coarsely aligned parts, the paper's CSA: each chart cropped by its bounding box, not aligned inside.

Shapes and types are those of the warp, so that the trainer reads either. A texel is a single pixel of the image, as in
the warp: the pixel at the middle of the texel when the box is stretched over the part image.
"""

from __future__ import annotations

import numpy as np

from dsa_data.charts import CHARTS

from .warp import check


def crop(image: np.ndarray, iuv: np.ndarray, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Resize the bounding box of each chart to S×S; pixels of other charts and of the background are not valid.

    Args:
        image: uint8 (H, W, 3), RGB.
        iuv: uint8 (H, W, 3): chart 0..24; U and V are not used.
        size: S, 2 to 256.

    Returns:
        texels uint8 (24, S, S, 3), RGB, 0 where not valid; valid bool (24, S, S).

    Raises:
        ImageError, ConfigError: as `warp`.
    """
    check(image, iuv, size)
    pixel, valid = _pixels(iuv[..., 0], size)
    texels: np.ndarray = image.reshape(-1, 3).take(pixel, axis=0) * valid[..., None]  # (24, S, S, 3)
    return texels, valid


def crop_sure(
    image: np.ndarray, iuv: np.ndarray, confidence: np.ndarray, size: int = 32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `crop` returns, and the confidence of each texel, uint8 (24, S, S), 0 where not valid.

    Args:
        confidence: uint8 (H, W), of the map.
    """
    texels, valid = crop(image, iuv, size)
    pixel, _ = _pixels(iuv[..., 0], size)
    return texels, valid, np.asarray(confidence.reshape(-1).take(pixel) * valid)


def _pixels(chart: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel at the middle of each texel, int64 (24, S, S), and whether it is of the texel's chart, bool."""
    height, width = chart.shape
    body = chart.nonzero()
    y = _middles(chart[body], body[0], height, size)  # (24, S)
    x = _middles(chart[body], body[1], width, size)
    pixel = y[:, :, None] * width + x[:, None, :]  # (24, S, S)
    return pixel, np.asarray(chart.ravel().take(pixel) == np.arange(1, CHARTS + 1)[:, None, None])


def _middles(chart: np.ndarray, coordinate: np.ndarray, length: int, size: int) -> np.ndarray:
    """Return the pixel at the middle of each of S equal parts of each chart's extent along one axis.

    Args:
        chart: (n,), of each pixel of the body.
        coordinate: (n,), of each along the axis.
        length: of the axis in pixels.

    Returns:
        int64 (24, S), not descending; 0 for a chart that is not visible.
    """
    seen = np.zeros((CHARTS + 1, length), bool)
    seen[chart, coordinate] = True
    first = seen[1:].argmax(axis=1)[:, None]
    after = length - seen[1:, ::-1].argmax(axis=1)[:, None]
    middles = first + (after - first) * (2 * np.arange(size) + 1) // (2 * size)
    return np.asarray(middles * seen[1:].any(axis=1, keepdims=True))
