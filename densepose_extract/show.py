"""Pages for people to look at: pictures with their maps, and a contact sheet to judge a dataset by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dsa_app.errors import ImageError, StoreError
from dsa_data import images
from dsa_data.charts import CHART_NAMES
from dsa_data.palette import chart_colours
from dsa_data.sheet import sheet
from dsa_data.stores.iuv import IuvMap, IuvStore

from . import palette

SIDE, CELL = 512, 192  # the longer side of a picture on a page; its height on a sheet
INK, PAPER, GAP, LINE = (40, 40, 40), 255, 8, 22
FRAMES = {"found": (0, 200, 70), "fallback": (255, 140, 0), "none": (220, 0, 0)}


def page(store: IuvStore, root: Path, keys: Sequence[str]) -> np.ndarray:
    """Draw pictures, a row each: with the box, charts, U, V, level lines; and the names of the charts below.

    Returns uint8 (H, W, 3) RGB. Raises StoreError for a key that is not there, ImageError for another picture than
    the store knows.
    """
    rows = [row(*read(store, root, key), key) for key in keys]
    width = max(picture.shape[1] for picture in rows)
    return framed(np.concatenate([padded(picture, width) for picture in [*rows, legend(width)]]))


def row(picture: np.ndarray, one: IuvMap, key: str) -> np.ndarray:
    """Draw one picture (H, W, 3) and its map in every way, beside each other, under a line that says what it is."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    large = resized(picture, size)
    iuv = palette.enlarged(one.iuv, *size)
    plain = iuv.round().astype(np.uint8)
    panels = [
        ("picture", boxed(large, one, scale)),
        ("charts", palette.charts(large, plain)),
        ("U", palette.values(large, plain, 1)),
        ("V", palette.values(large, plain, 2)),
        ("U yellow, V blue", palette.contours(large, iuv)),
    ]
    titled = [np.concatenate([text(name, size[1]), panel]) for name, panel in panels]
    gap = np.full((titled[0].shape[0], GAP, 3), PAPER, np.uint8)
    line = np.concatenate([part for panel in titled for part in (panel, gap)], axis=1)
    return np.concatenate([text(f"{key}   {width}x{height}   {caption(one)}", line.shape[1]), line])


def contact_sheet(store: IuvStore, root: Path, count: int, seed: int) -> np.ndarray:
    """Draw a random sample of pictures, each beside its charts, with status and score; uint8 (H, W, 3) RGB.

    Raises ImageError for another picture than the store knows.
    """
    chosen = np.random.default_rng(seed).choice(len(store), min(count, len(store)), replace=False)
    cells = []
    for place in sorted(chosen.tolist()):
        picture, one = read(store, root, store.keys[place])
        size = (CELL, max(1, round(picture.shape[1] * CELL / picture.shape[0])))
        large = resized(picture, size)
        plain = cv2.resize(one.iuv, size[::-1], interpolation=cv2.INTER_NEAREST)
        pair = [boxed(large, one, CELL / picture.shape[0]), palette.charts(large, plain)]
        cells.append((caption(one), np.concatenate(pair, axis=1)))
    columns = max(1, round((len(cells) * CELL / np.mean([cell.shape[1] for _, cell in cells])) ** 0.5 * 1.2))
    drawn = sheet(cells, columns=columns, height=CELL)
    title = f"{store.header.dataset}: {len(cells)} of {len(store)} pictures, seed {seed}"
    return framed(np.concatenate([text(title, drawn.shape[1]), drawn]))


def read(store: IuvStore, root: Path, key: str) -> tuple[np.ndarray, IuvMap]:
    """Return a picture and its map. Raises StoreError or ImageError, see `page`."""
    if key not in store:
        raise StoreError(f"{store.path} holds no {key}; its first is {store.keys[0]}. Keys are listed in the manifest.")
    one = store.read(store.index(key))
    picture = images.read(root / key)
    if picture.shape != one.iuv.shape:
        raise ImageError(
            f"{root / key} is {picture.shape[1]}x{picture.shape[0]}, its map {one.iuv.shape[1]}x{one.iuv.shape[0]}. "
            f"Name the folder that {store.path} was made from: --root."
        )
    return picture, one


def caption(one: IuvMap) -> str:
    """Return a map's status, with the detector's score where it found somebody and told one."""
    return f"found {one.score:.2f}" if one.status == "found" and not np.isnan(one.score) else one.status


def boxed(picture: np.ndarray, one: IuvMap, scale: float) -> np.ndarray:
    """Return a picture with the person's box upon it, green if found, orange if fallback; red all around if nobody."""
    height, width = picture.shape[:2]
    box = np.array([0, 0, width, height]) if np.isnan(one.box).any() else np.round(one.box * scale).astype(int)
    x0, y0 = box[:2].tolist()
    x1, y1 = (box[2:] - 1).tolist()
    return cv2.rectangle(picture.copy(), (x0, y0), (x1, y1), FRAMES[one.status], 2)


def legend(width: int) -> np.ndarray:
    """Draw the charts' colours and names in columns, uint8 (h, width, 3)."""
    columns = max(1, width // 190)
    rows = -(-len(CHART_NAMES) // columns)
    drawn = Image.fromarray(np.full(((rows + 1) * LINE, width, 3), PAPER, np.uint8))
    brush, font = ImageDraw.Draw(drawn), ImageFont.load_default(13)
    colours = chart_colours()
    for place, name in enumerate(CHART_NAMES):
        x, y = place // rows * 190, LINE // 2 + place % rows * LINE
        brush.rectangle((x, y + 3, x + 16, y + 17), fill=tuple(colours[place + 1].tolist()))
        brush.text((x + 22, y + 2), f"{place + 1} {name}", fill=INK, font=font)
    return np.asarray(drawn)


def text(line: str, width: int) -> np.ndarray:
    """Draw a line of text, uint8 (LINE, width, 3)."""
    drawn = Image.fromarray(np.full((LINE, width, 3), PAPER, np.uint8))
    ImageDraw.Draw(drawn).text((2, 3), line, fill=INK, font=ImageFont.load_default(14))
    return np.asarray(drawn)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture (H, W, 3) to `size` (h, w)."""
    how = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=how))


def padded(picture: np.ndarray, width: int) -> np.ndarray:
    """Fill a picture (H, W, 3) up to `width` on the right."""
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=PAPER)


def framed(picture: np.ndarray) -> np.ndarray:
    """Put an empty margin around a page (H, W, 3)."""
    return np.pad(picture, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=PAPER)
