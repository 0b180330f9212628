"""A page of heat maps over their images: a row an image and network, a column a feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .features import feature_names, symbol

Image = NDArray[np.uint8]
HEIGHT = 192  # of an image in its cell
WIDTH = 96  # at least, for the columns' titles
GAP, LINE, MARGIN = 6, 18, 10
INK, FAINT, PAPER, OUTLINE = (40, 40, 40), (130, 130, 130), 255, (255, 255, 255)
SCALE_WIDTH = 160
LEGEND = 640  # least width of a page: the legend's lines


@dataclasses.dataclass(frozen=True)
class Row:
    """The heat maps of one image and network.

    Attributes:
        title: written above the row.
        first: whether it is the first row of its image, and has a gap above.
        image: uint8 (H, W, 3) RGB.
        maps: by feature, float (h, w), not negative, of any size.
        regions: by feature, bool (H, W): the mask of the body region that it is named after; may be left out.
    """

    title: str
    first: bool
    image: Image
    maps: Mapping[str, NDArray[np.floating]]
    regions: Mapping[str, NDArray[np.bool_]] = dataclasses.field(default_factory=dict)


def page(rows: Sequence[Row], legend: str, numbers: str) -> Image:
    """Return an image of rows, under the names of the features and above a legend.

    Each map has the full range of colours; its maximum is written below it.

    Args:
        legend: lines that explain the maps.
        numbers: format of the maximum, as in "{:.2f}".

    Returns:
        uint8 (H', W', 3), RGB.
    """
    columns = [name for name in feature_names("both") if any(name in row.maps for row in rows)]
    width = max(WIDTH, *(_width(row.image) for row in rows))
    bands = [_band(row, columns, width, numbers) for row in rows]
    titles = [_titles(line, width) for line in (["", *map(symbol, columns)], ["image", *columns])]
    whole = bands[0].shape[1]
    parts = [*(_widened(title, whole) for title in titles), *bands, _legend(legend, whole)]
    return np.pad(np.concatenate(parts), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=PAPER)


def heated(image: Image, heat: NDArray[np.floating]) -> Image:
    """Return an image in grey with a heat map in 0..1 (H, W) over it: transparent at 0, from purple to yellow at 1."""
    grey = 0.75 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)  # (H, W, 1)
    steps = np.rint(255 * heat.clip(0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    cover = np.clip(1.3 * heat, 0, 0.8)[..., None]
    return np.asarray((grey * (1 - cover) + colours * cover).round().clip(0, 255), np.uint8)


def with_heat_map(image: Image, values: NDArray[np.floating]) -> Image:
    """Return an image with a map over it, float (h, w), not negative, of any size, in the full range of colours."""
    known = np.asarray(values, np.float32)
    greatest = float(known.max())
    scaled = known / greatest if greatest > 0 else known
    heat = np.asarray(cv2.resize(scaled, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return heated(image, heat)


def _width(image: Image) -> int:
    return int(max(1, round(image.shape[1] * HEIGHT / image.shape[0])))


def _band(row: Row, columns: Sequence[str], width: int, numbers: str) -> Image:
    """Return one row: its title, and a cell for the image and for each feature."""
    size = (_width(row.image), HEIGHT)
    image = np.asarray(cv2.resize(row.image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    cells = [_cell(image, "", width)]
    for name in columns:
        if name not in row.maps:
            cells.append(_cell(np.full_like(image, 240), "no such feature", width))
            continue
        greatest = float(np.max(row.maps[name]))
        shown = with_heat_map(image, row.maps[name])
        if name in row.regions:
            _outline(shown, row.regions[name])
        cells.append(_cell(shown, numbers.format(greatest) if greatest > 0 else "zero", width))
    body = _widened(np.concatenate(cells, axis=1), LEGEND)
    above = [_text("", body.shape[1])[:GAP]] if row.first else []
    return np.concatenate([*above, _text(row.title, body.shape[1]), body])


def _outline(image: Image, region: NDArray[np.bool_]) -> None:
    """Draw the edge of a region, whose mask may have another size, on an image."""
    mask = cv2.resize(region.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, edges, -1, OUTLINE, 1)


def _cell(image: Image, caption: str, width: int) -> Image:
    return np.concatenate([_widened(image, width + GAP), _text(caption, width + GAP, FAINT)])


def _widened(image: Image, width: int) -> Image:
    """Return an image padded on the right to a width."""
    return np.pad(image, ((0, 0), (0, max(0, width - image.shape[1])), (0, 0)), constant_values=PAPER)


def _titles(names: Sequence[str], width: int) -> Image:
    return np.concatenate([_text(name, width + GAP) for name in names], axis=1)


def _legend(legend: str, width: int) -> Image:
    """Return the scale of colours, over a medium grey, and the lines of the legend."""
    heat = np.tile(np.linspace(0, 1, SCALE_WIDTH), (LINE - 6, 1))
    bar = heated(np.full((*heat.shape, 3), 128, np.uint8), heat)
    scale = _text("", width)
    left = 62
    scale[3 : LINE - 3, left : left + SCALE_WIDTH] = bar
    _write(scale, "zero", 0)
    _write(scale, "maximum of this cell, the number below it", left + SCALE_WIDTH + 6)
    return np.concatenate([_text("", width), scale, *(_text(line, width) for line in legend.splitlines())])


def _text(line: str, width: int, colour: tuple[int, int, int] = INK) -> Image:
    block = np.full((LINE, width, 3), PAPER, np.uint8)
    _write(block, line, 0, colour)
    return block


def _write(block: Image, line: str, x: int, colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(block, line, (x, LINE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
