"""Coarsely aligned parts, the paper's CSA: each chart cropped by its bounding box, not aligned inside.

The form is the warp's, so that the trainer takes either. Texels are single pixels of the picture, as in the warp:
the one at the texel's middle, when the box is stretched over the part picture.
"""

from __future__ import annotations

import numpy as np

from dsa_data.charts import CHARTS

from .warp import check


def crop(image: np.ndarray, iuv: np.ndarray, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Resize the bounding box of each chart to S×S; pixels of other charts and of the background are not valid.

    Args:
        image: uint8 (H, W, 3), RGB.
        iuv: uint8 (H, W, 3): chart 0..24, then U and V, which do not matter here.
        size: S, 2 to 256.

    Returns:
        texels uint8 (24, S, S, 3), RGB, 0 where not valid; valid bool (24, S, S).

    Raises:
        ImageError, ConfigError: as the warp does.
    """
    check(image, iuv, size)
    chart = iuv[..., 0]
    height, width = chart.shape
    body = chart.nonzero()
    y = _middles(chart[body], body[0], height, size)  # (24, S)
    x = _middles(chart[body], body[1], width, size)
    pixel = y[:, :, None] * width + x[:, None, :]  # (24, S, S)
    valid = chart.ravel().take(pixel) == np.arange(1, CHARTS + 1)[:, None, None]
    return image.reshape(-1, 3).take(pixel, axis=0) * valid[..., None], valid


def _middles(chart: np.ndarray, place: np.ndarray, length: int, size: int) -> np.ndarray:
    """Return the pixel at the middle of each of S equal parts of each chart's extent along one axis.

    Args:
        chart, place: (n,), chart and coordinate of each pixel of the body.
        length: of the axis, in pixels.

    Returns:
        int64 (24, S), rising; 0 for a chart that is not there.
    """
    seen = np.zeros((CHARTS + 1, length), bool)
    seen[chart, place] = True
    first = seen[1:].argmax(axis=1)[:, None]
    after = length - seen[1:, ::-1].argmax(axis=1)[:, None]
    middles = first + (after - first) * (2 * np.arange(size) + 1) // (2 * size)
    return middles * seen[1:].any(axis=1, keepdims=True)
