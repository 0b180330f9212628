"""Maps laid over their images: charts in 24 colours, U and V on a scale, level lines."""

from __future__ import annotations

import cv2
import numpy as np

from dsa_data.palette import chart_colours

LEVELS = 8  # steps of U and of V with a line between each two
U_LINE, V_LINE, EDGE = (255, 214, 10), (64, 224, 255), (255, 255, 255)


def chart_overlay(image: np.ndarray, iuv: np.ndarray) -> np.ndarray:
    """Return an image uint8 (H, W, 3) RGB in pale grey, with the charts of its map in colour."""
    return np.where(iuv[..., :1] > 0, chart_colours()[iuv[..., 0]], pale_grey(image))


def value_overlay(image: np.ndarray, iuv: np.ndarray, channel: int) -> np.ndarray:
    """Return an image in pale grey, with U (channel 1) or V (channel 2) of its map from dark (0) to light (255)."""
    coloured = cv2.applyColorMap(np.ascontiguousarray(iuv[..., channel]), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.where(iuv[..., :1] > 0, coloured, pale_grey(image))


def confidence_overlay(image: np.ndarray, iuv: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return an image in pale grey, with the confidence uint8 (H, W) of its body, from dark (0) to light (255)."""
    return value_overlay(image, np.dstack([iuv[..., 0], confidence]), 1)


def pale_grey(image: np.ndarray) -> np.ndarray:
    """Return an image without colour and with little contrast, so that an overlay stands out."""
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat((170 + light[..., None] / 3).astype(np.uint8), 3, axis=-1)


def enlarge_map(iuv: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a map resized to float32 (height, width, 3), U and V interpolated within each chart for smooth lines."""
    chart = cv2.resize(iuv[..., 0], (width, height), interpolation=cv2.INTER_NEAREST)
    result = np.zeros((height, width, 3), np.float32)
    result[..., 0] = chart
    # Each chart is resized on its own, divided by its weight: across its border values belong to another chart.
    for number in np.unique(chart[chart > 0]):
        inside = (iuv[..., 0] == number).astype(np.float32)
        weight = cv2.resize(inside, (width, height))
        for channel in (1, 2):
            smooth = cv2.resize(iuv[..., channel] * inside, (width, height)) / np.maximum(weight, 1e-6)
            result[..., channel] = np.where(chart == number, smooth, result[..., channel])
    return result


def level_lines(image: np.ndarray, iuv: np.ndarray) -> np.ndarray:
    """Return an image with level lines of U and of V, and white edges of the charts.

    Args:
        image: uint8 (H, W, 3) RGB.
        iuv: its map at the same size, as `enlarge_map` returns it.
    """
    lines = (image * 0.6).astype(np.uint8)
    chart = iuv[..., 0]
    for channel, colour in ((2, V_LINE), (1, U_LINE)):
        level = np.floor(iuv[..., channel] / 256 * LEVELS)
        lines[borders(level) & ~borders(chart) & (chart > 0)] = colour
    lines[borders(chart)] = EDGE
    return lines


def borders(level: np.ndarray) -> np.ndarray:
    """Return where the values (H, W) differ from those of the pixel to the right or below: bool (H, W)."""
    changed = np.zeros(level.shape, bool)
    changed[:, :-1] |= level[:, 1:] != level[:, :-1]
    changed[:-1] |= level[1:] != level[:-1]
    return changed
