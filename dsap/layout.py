"""The 24 part images laid out as a body, front and back, each rotated as it appears on a standing person."""

from __future__ import annotations

import dataclasses
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dsa_data.charts import CHART_NAMES

PAPER, EMPTY, INK = (255, 255, 255), (212, 212, 218), (40, 40, 40)
CAPTION = 18  # height of a line of text in pixels
GAP = 6
MARGIN = 12  # around a page


@dataclasses.dataclass(frozen=True)
class Cell:
    """Where a part image is on the page, and how it is rotated.

    Attributes:
        x, y: column and row of the figure's grid.
        axes: which coordinate increases to the right and which downwards: in "-v+u", V decreases to the right and U
            increases downwards.
        span: side in cells of the grid.
    """

    x: int
    y: int
    axes: str
    span: int = 1


# The viewer's left is the person's right side in the front view and the left side in the back view. The directions
# were measured on real DensePose maps: mean gradients of U and V by chart, of people who stand.
FRONT = {
    23: Cell(1, 0, "+u-v"),
    24: Cell(2, 0, "+u-v"),
    16: Cell(0, 1, "-v+u"),
    2: Cell(1, 1, "-v+u", span=2),
    15: Cell(3, 1, "+v+u"),
    20: Cell(0, 2, "+v-u"),
    19: Cell(3, 2, "-v-u"),
    3: Cell(0, 3, "-u+v"),
    9: Cell(1, 3, "+v-u"),
    10: Cell(2, 3, "-v-u"),
    4: Cell(3, 3, "-u+v"),
    13: Cell(1, 4, "-v+u"),
    14: Cell(2, 4, "+v+u"),
    6: Cell(1, 5, "-v-u"),
    5: Cell(2, 5, "+v+u"),
}
BACK = {
    17: Cell(0, 1, "-v+u"),
    1: Cell(1, 1, "+v+u", span=2),
    18: Cell(3, 1, "+v+u"),
    21: Cell(0, 2, "-v+u"),
    22: Cell(3, 2, "+v+u"),
    8: Cell(1, 3, "-v+u"),
    7: Cell(2, 3, "+v+u"),
    12: Cell(1, 4, "-v-u"),
    11: Cell(2, 4, "+v-u"),
}
Turns = Literal["densepose", "synthetic", "none"]
UPWARD = (9, 10, 11, 12, 19, 20)  # U increases upwards here in DensePose's maps, but downwards on the synthetic body


def body(
    texels: np.ndarray, valid: np.ndarray, turns: Turns = "densepose", cell: int = 96, names: bool = True
) -> np.ndarray:
    """Return the part images of one person as two figures, front and back, with the names of the charts.

    Args:
        texels: uint8 (24, S, S, 3), RGB.
        valid: bool (24, S, S); invalid texels are grey.
        turns: orientation of the charts: DensePose's, the "synthetic" body's, or "none" for coarse parts, which have
            that of the image.
        cell: width of a part image in pixels.
        names: whether charts and figures are named; without, part images are one pixel apart.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    gap, caption = (GAP, CAPTION) if names else (1, 1)
    shown = np.where(valid[..., None], texels, np.array(EMPTY, np.uint8))
    figures = []
    for title, cells in (("front", FRONT), ("back", BACK)):
        page = np.full((caption + 6 * (cell + caption), 4 * (cell + gap), 3), PAPER, np.uint8)
        if names:
            write(page, 0, 0, title, size=13)
        for chart, grid in cells.items():
            part = shown[chart - 1]
            if turns == "synthetic" and chart in UPWARD:
                part = turned(part, grid.axes.replace("-u", "+u"))
            elif turns != "none":
                part = turned(part, grid.axes)
            wide, high = grid.span * (cell + gap) - gap, grid.span * (cell + caption) - caption
            x, y = grid.x * (cell + gap), caption + grid.y * (cell + caption)
            page[y : y + high, x : x + wide] = cv2.resize(part, (wide, high), interpolation=cv2.INTER_NEAREST)
            if names:
                write(page, x, y + high, f"{chart} {short_name(chart)}")
        figures.append(page)
    return side_by_side(figures, 18 if names else 3 * gap)


def turned(part: np.ndarray, axes: str) -> np.ndarray:
    """Return a part image (S, S, ...), rows U and columns V, rotated so that its axes are `axes`; see `Cell`."""
    right, down = axes[:2], axes[2:]
    if right[1] == "u":
        part = part.swapaxes(0, 1)
    return part[:: -1 if down[0] == "-" else 1, :: -1 if right[0] == "-" else 1]


def short_name(chart: int) -> str:
    """Return a chart's name without the side that its figure's title states."""
    return (
        CHART_NAMES[chart - 1].rsplit(" ", 1)[0] if CHART_NAMES[chart - 1].endswith(SIDES) else CHART_NAMES[chart - 1]
    )


SIDES = (" front", " back", " inside", " outside")


def write(page: np.ndarray, x: int, y: int, text: str, size: int = 10) -> None:
    """Write a line of text on `page`, in place, its upper left corner at x, y."""
    line = Image.fromarray(page[y : y + CAPTION, x:])
    ImageDraw.Draw(line).text((1, 1), text, fill=INK, font=ImageFont.load_default(size))
    page[y : y + CAPTION, x:] = line


def side_by_side(images: list[np.ndarray], gap: int = 18) -> np.ndarray:
    """Return images (H, W, 3) of any sizes side by side, tops aligned."""
    height = max(image.shape[0] for image in images)
    page = np.full((height, sum(image.shape[1] + gap for image in images) - gap, 3), PAPER, np.uint8)
    x = 0
    for image in images:
        page[: image.shape[0], x : x + image.shape[1]] = image
        x += image.shape[1] + gap
    return page


def stacked(images: list[np.ndarray], gap: int = 12) -> np.ndarray:
    """Return images (H, W, 3) of any sizes one below the other, left edges aligned."""
    return side_by_side([image.swapaxes(0, 1) for image in images], gap).swapaxes(0, 1)


def framed(page: np.ndarray) -> np.ndarray:
    """Return a page (H, W, 3) with an empty margin around it."""
    height, width = page.shape[:2]
    frame = np.full((height + 2 * MARGIN, width + 2 * MARGIN, 3), PAPER, np.uint8)
    frame[MARGIN:-MARGIN, MARGIN:-MARGIN] = page
    return frame


def titled(title: str, image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) with a title above it."""
    page = np.full((CAPTION + image.shape[0], image.shape[1], 3), PAPER, np.uint8)
    page[CAPTION:] = image
    write(page, 0, 0, title, size=13)
    return page
