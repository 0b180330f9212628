"""Maps as colours: 24 for the charts, a scale for U and V, level lines over the picture."""

from __future__ import annotations

import cv2
import numpy as np

from dsa_data.palette import chart_colours

LEVELS = 8  # of U and of V that get a line
U_LINE, V_LINE, EDGE = (255, 214, 10), (64, 224, 255), (255, 255, 255)


def charts(picture: np.ndarray, iuv: np.ndarray) -> np.ndarray:
    """Return a picture uint8 (H, W, 3) RGB, grey, with the charts of its map in their colours upon it."""
    return np.where(iuv[..., :1] > 0, chart_colours()[iuv[..., 0]], grey(picture))


def values(picture: np.ndarray, iuv: np.ndarray, channel: int) -> np.ndarray:
    """Return a picture, grey, with one of its map's values upon it from dark (0) to light (255): 1 for U, 2 for V."""
    coloured = cv2.applyColorMap(np.ascontiguousarray(iuv[..., channel]), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.where(iuv[..., :1] > 0, coloured, grey(picture))


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture without colour, pale, so that what is drawn upon it stands out."""
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat((170 + light[..., None] / 3).astype(np.uint8), 3, axis=-1)


def enlarged(iuv: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a map to (height, width), U and V smoothly within each chart, so that level lines are no stairs."""
    chart = cv2.resize(iuv[..., 0], (width, height), interpolation=cv2.INTER_NEAREST)
    result = np.zeros((height, width, 3), np.float32)
    result[..., 0] = chart
    for one in np.unique(chart[chart > 0]):
        inside = (iuv[..., 0] == one).astype(np.float32)
        weight = cv2.resize(inside, (width, height))
        for channel in (1, 2):
            spread = cv2.resize(iuv[..., channel] * inside, (width, height)) / np.maximum(weight, 1e-6)
            result[..., channel] = np.where(chart == one, spread, result[..., channel])
    return result


def contours(picture: np.ndarray, iuv: np.ndarray) -> np.ndarray:
    """Return a picture with level lines of U and of V, and white edges of the charts.

    Args:
        picture: uint8 (H, W, 3) RGB.
        iuv: its map at the same size, as `enlarged` returns it.
    """
    page = (picture * 0.6).astype(np.uint8)
    chart = iuv[..., 0]
    for channel, colour in ((2, V_LINE), (1, U_LINE)):
        level = np.floor(iuv[..., channel] / 256 * LEVELS)
        page[steps(level) & ~steps(chart) & (chart > 0)] = colour
    page[steps(chart)] = EDGE
    return page


def steps(level: np.ndarray) -> np.ndarray:
    """Return where (H, W) differs from the pixel to the right or below: bool (H, W)."""
    changed = np.zeros(level.shape, bool)
    changed[:, :-1] |= level[:, 1:] != level[:, :-1]
    changed[:-1] |= level[1:] != level[:-1]
    return changed
