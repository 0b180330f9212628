"""The 24 part pictures laid out as a body, front and back, each turned upright as it is seen on a standing person."""

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
class Place:
    """Where a part picture lies on the page, and how it is turned.

    Args:
        x, y: column and row of the figure's grid.
        axes: what runs to the right and what down, as in "-v+u": V to the left, U down.
        span: side in cells of the grid.
    """

    x: int
    y: int
    axes: str
    span: int = 1


# The viewer's left is the person's right in front and the person's left behind. The directions were measured on real
# DensePose maps (mean gradients of U and V by chart, people standing).
FRONT = {
    23: Place(1, 0, "+u-v"),
    24: Place(2, 0, "+u-v"),
    16: Place(0, 1, "-v+u"),
    2: Place(1, 1, "-v+u", span=2),
    15: Place(3, 1, "+v+u"),
    20: Place(0, 2, "+v-u"),
    19: Place(3, 2, "-v-u"),
    3: Place(0, 3, "-u+v"),
    9: Place(1, 3, "+v-u"),
    10: Place(2, 3, "-v-u"),
    4: Place(3, 3, "-u+v"),
    13: Place(1, 4, "-v+u"),
    14: Place(2, 4, "+v+u"),
    6: Place(1, 5, "-v-u"),
    5: Place(2, 5, "+v+u"),
}
BACK = {
    17: Place(0, 1, "-v+u"),
    1: Place(1, 1, "+v+u", span=2),
    18: Place(3, 1, "+v+u"),
    21: Place(0, 2, "-v+u"),
    22: Place(3, 2, "+v+u"),
    8: Place(1, 3, "-v+u"),
    7: Place(2, 3, "+v+u"),
    12: Place(1, 4, "-v-u"),
    11: Place(2, 4, "+v-u"),
}
Turns = Literal["densepose", "synthetic", "none"]
UPWARD = (9, 10, 11, 12, 19, 20)  # U runs up these in DensePose's maps, but down every limb of the synthetic body


def body(texels: np.ndarray, valid: np.ndarray, turns: Turns = "densepose", cell: int = 96) -> np.ndarray:
    """Lay the part pictures of one person out as two figures, named.

    Args:
        texels: uint8 (24, S, S, 3), RGB.
        valid: bool (24, S, S); what is not valid is grey.
        turns: how the charts lie on the body: as DensePose's, as the "synthetic" body's, or "none" for coarse parts,
            which lie as in the picture.
        cell: width of a part picture in pixels.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    shown = np.where(valid[..., None], texels, np.array(EMPTY, np.uint8))
    figures = []
    for title, places in (("front", FRONT), ("back", BACK)):
        page = np.full((CAPTION + 6 * (cell + CAPTION), 4 * (cell + GAP), 3), PAPER, np.uint8)
        write(page, 0, 0, title, size=13)
        for chart, place in places.items():
            part = shown[chart - 1]
            if turns == "synthetic" and chart in UPWARD:
                part = turned(part, place.axes.replace("-u", "+u"))
            elif turns != "none":
                part = turned(part, place.axes)
            wide, high = place.span * (cell + GAP) - GAP, place.span * (cell + CAPTION) - CAPTION
            x, y = place.x * (cell + GAP), CAPTION + place.y * (cell + CAPTION)
            page[y : y + high, x : x + wide] = cv2.resize(part, (wide, high), interpolation=cv2.INTER_NEAREST)
            write(page, x, y + high, f"{chart} {short_name(chart)}")
        figures.append(page)
    return beside(figures)


def turned(part: np.ndarray, axes: str) -> np.ndarray:
    """Turn a part picture (S, S, ...), rows U and columns V, so that it is seen as `axes` say; see `Place`."""
    right, down = axes[:2], axes[2:]
    if right[1] == "u":
        part = part.swapaxes(0, 1)
    return part[:: -1 if down[0] == "-" else 1, :: -1 if right[0] == "-" else 1]


def short_name(chart: int) -> str:
    """Return a chart's name without the side that its figure's title tells."""
    return (
        CHART_NAMES[chart - 1].rsplit(" ", 1)[0] if CHART_NAMES[chart - 1].endswith(SIDES) else CHART_NAMES[chart - 1]
    )


SIDES = (" front", " back", " inside", " outside")


def write(page: np.ndarray, x: int, y: int, text: str, size: int = 10) -> None:
    """Write a line of text on `page`, in place, its upper left corner at x, y."""
    picture = Image.fromarray(page[y : y + CAPTION, x:])
    ImageDraw.Draw(picture).text((1, 1), text, fill=INK, font=ImageFont.load_default(size))
    page[y : y + CAPTION, x:] = picture


def beside(pictures: list[np.ndarray], gap: int = 18) -> np.ndarray:
    """Put pictures (H, W, 3) of any sizes beside each other, tops aligned."""
    height = max(picture.shape[0] for picture in pictures)
    page = np.full((height, sum(picture.shape[1] + gap for picture in pictures) - gap, 3), PAPER, np.uint8)
    x = 0
    for picture in pictures:
        page[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + gap
    return page


def below(pictures: list[np.ndarray], gap: int = 12) -> np.ndarray:
    """Put pictures (H, W, 3) of any sizes below each other, left edges aligned."""
    return beside([picture.swapaxes(0, 1) for picture in pictures], gap).swapaxes(0, 1)


def framed(page: np.ndarray) -> np.ndarray:
    """Put an empty margin around a page (H, W, 3)."""
    height, width = page.shape[:2]
    frame = np.full((height + 2 * MARGIN, width + 2 * MARGIN, 3), PAPER, np.uint8)
    frame[MARGIN:-MARGIN, MARGIN:-MARGIN] = page
    return frame


def titled(title: str, picture: np.ndarray) -> np.ndarray:
    """Put a title over a picture (H, W, 3)."""
    page = np.full((CAPTION + picture.shape[0], picture.shape[1], 3), PAPER, np.uint8)
    page[CAPTION:] = picture
    write(page, 0, 0, title, size=13)
    return page
