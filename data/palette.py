"""Colours for the 24 charts, the same on every page, and I, U, V maps painted with them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .charts import CHARTS

HUES = CHARTS // 2
HUE_STEP = 5  # of 12: parts that touch are far apart in hue
CHROMA = 60
DARKEST = 0.6  # of a chart's colour where U is 0
PALEST = 0.5  # share of white where V is 255


def chart_colours() -> NDArray[np.uint8]:
    """Return the colour of each chart, uint8 (25, 3) RGB, black for 0.

    Partners (1 and 2, 3 and 4, …) share a hue; the odd one is dark, the even one light, so that left and right, or
    front and back, are seen at once. Neighbouring hues differ in lightness too: any two colours are 20 apart in CIELAB.
    """
    chart = np.arange(CHARTS)
    step = chart // 2 * HUE_STEP % HUES
    hue = 2 * np.pi * step / HUES
    light = 30.0 + 25 * (step % 2) + 35 * (chart % 2)
    lab = np.stack([light, CHROMA * np.cos(hue), CHROMA * np.sin(hue)], axis=-1).astype(np.float32)
    rgb = cv2.cvtColor(lab[None], cv2.COLOR_LAB2RGB)[0]
    return np.concatenate([np.zeros((1, 3)), np.clip(255 * rgb, 0, 255)]).round().astype(np.uint8)


def paint_iuv(iuv: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a map uint8 (H, W, 3) as RGB: charts in their colours, brighter along U, paler along V; else black."""
    u, v = (iuv[..., channel, None].astype(np.float32) / 255 for channel in (1, 2))
    colours = chart_colours()[iuv[..., 0]] * (DARKEST + (1 - DARKEST) * u)  # (H, W, 3)
    colours += PALEST * v * (255 - colours)
    return np.where(iuv[..., :1] > 0, colours, 0).round().astype(np.uint8)
