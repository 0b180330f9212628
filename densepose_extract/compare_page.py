"""A page of the images on which two stores of maps agree least: image, both maps, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dsa_data.charts import REGION_OF_CHART
from dsa_data.stores.iuv import IuvStore

from .compare import Agreement
from .overlay import chart_overlay, pale_grey
from .show import GAP, INK, LINE, PAPER, framed, legend, padded, read, resized, text

HEIGHT = 320  # of an image on the page, in pixels
COLUMNS = 2
DIFFERENCES = {
    "same chart": (70, 170, 90),
    "same region, other chart": (250, 200, 40),
    "other region": (220, 40, 40),
    "body in A only": (60, 110, 230),
    "body in B only": (200, 70, 210),
}
"""Colour of each kind of pixel in the last panel."""


def page(first: IuvStore, second: IuvStore, worst: Sequence[Agreement], root: Path | None) -> np.ndarray:
    """Return a figure with a cell for each image, and the names of the colours: uint8 (H, W, 3) RGB.

    Args:
        first, second: the stores A and B.
        worst: at least one image, worst first.
        root: the folder of the images; None to draw the maps alone.

    Raises StoreError or ImageError, see `show.read`.
    """
    assert worst, "at least one image"
    cells = [cell(first, second, one, root) for one in worst]
    width = max(each.shape[1] for each in cells)
    columns = min(COLUMNS, len(cells))
    rows = []
    for start in range(0, len(cells), columns):
        row = [padded(each, width + 2 * GAP) for each in cells[start : start + columns]]
        rows.append(padded(np.concatenate(row, axis=1), columns * (width + 2 * GAP)))
    title = text(
        f"A: {_made_by(first)}    B: {_made_by(second)}    {len(cells)} images that agree least", rows[0].shape[1]
    )
    names = [differences_legend(rows[0].shape[1]), legend(rows[0].shape[1])]
    return framed(np.concatenate([title, *rows, *names]))


def cell(first: IuvStore, second: IuvStore, one: Agreement, root: Path | None) -> np.ndarray:
    """Return one image, both maps, and where they differ, side by side under a title."""
    maps = [store.read(store.index(one.key)).iuv for store in (first, second)]
    if root is None:
        image = np.full_like(maps[0], PAPER)
    else:
        image, _ = read(first, root, one.key)
    height, width = image.shape[:2]
    size = (HEIGHT, max(1, round(width * HEIGHT / height)))
    large = resized(image, size)
    enlarged = [cv2.resize(each, size[::-1], interpolation=cv2.INTER_NEAREST) for each in maps]
    panels = [
        ("image", large),
        ("A", chart_overlay(large, enlarged[0])),
        ("B", chart_overlay(large, enlarged[1])),
        ("difference", differences(large, *enlarged)),
    ]
    titled = [np.concatenate([text(name, size[1]), panel]) for name, panel in panels]
    gap = np.full((titled[0].shape[0], GAP, 3), PAPER, np.uint8)
    line = np.concatenate([part for panel in titled for part in (panel, gap)], axis=1)
    caption = [one.key, measures(one)]
    needed = max(line.shape[1], 8 * max(len(each) for each in caption))
    above = np.full((GAP, needed, 3), PAPER, np.uint8)
    return np.concatenate([above, *(text(each, needed) for each in caption), padded(line, needed)])


def measures(one: Agreement) -> str:
    """Return the measures of an image in one line."""
    if not all(one.found):
        return f"person detected by {'A' if one.found[0] else 'B'} only"
    values = (("body", one.iou), ("chart", one.chart), ("region", one.region))
    shown = [f"{name} {value:.0%}" for name, value in values if not math.isnan(value)]
    shown += [f"{name} {value:.2f} off" for name, value in (("u", one.u), ("v", one.v)) if not math.isnan(value)]
    return ", ".join(shown)


def differences(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return an image uint8 (H, W, 3) in pale grey, with each pixel of either body in the colour of `DIFFERENCES`.

    Args:
        first, second: maps uint8 (H, W, 3).
    """
    one, other = first[..., 0], second[..., 0]
    both = (one > 0) & (other > 0)
    same_region = REGION_OF_CHART[one] == REGION_OF_CHART[other]
    kinds = (
        both & (one == other),
        both & (one != other) & same_region,
        both & ~same_region,
        (one > 0) & (other == 0),
        (one == 0) & (other > 0),
    )
    result = pale_grey(image)
    for inside, colour in zip(kinds, DIFFERENCES.values(), strict=True):
        result[inside] = colour
    return result


def differences_legend(width: int) -> np.ndarray:
    """Return the colours of the last panel with their names, in lines of `width`: uint8 (h, width, 3)."""
    step = 200
    columns = max(1, width // step)
    rows = -(-len(DIFFERENCES) // columns)
    image = Image.fromarray(np.full(((rows + 1) * LINE, width, 3), PAPER, np.uint8))
    brush, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for index, (name, colour) in enumerate(DIFFERENCES.items()):
        x, y = index % columns * step, LINE // 2 + index // columns * LINE
        brush.rectangle((x, y + 3, x + 16, y + 17), fill=colour)
        brush.text((x + 22, y + 2), name, fill=INK, font=font)
    return np.asarray(image)


def _made_by(store: IuvStore) -> str:
    """Return the file name of a store, with its engine, and its model if it has one."""
    configuration = store.header.configuration
    engine = " ".join(str(configuration[name]) for name in ("engine", "model") if name in configuration)
    return f"{store.path.name} ({engine or 'unknown engine'})"
