"""Figures: images with their maps, and a contact sheet to judge the maps of a dataset."""

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
from dsa_data.sheet import fitting, sheet
from dsa_data.stores.iuv import IuvMap, IuvStore

from .overlay import chart_overlay, confidence_overlay, enlarge_map, level_lines, value_overlay

SIDE, CELL = 512, 192  # pixels of an image's longer side on a page, and of its height on a contact sheet
INK, PAPER, GAP, LINE = (40, 40, 40), 255, 8, 22
FRAMES = {"found": (0, 200, 70), "fallback": (255, 140, 0), "none": (220, 0, 0)}


def page(store: IuvStore, root: Path, keys: Sequence[str]) -> np.ndarray:
    """Return a figure with a row for each image: its box, charts, U, V and level lines; and the names of the charts.

    Returns uint8 (H, W, 3) RGB. Raises StoreError for a key without a map, ImageError for an image of another size
    than its map.
    """
    rows = [row(*read(store, root, key), key) for key in keys]
    width = max(image.shape[1] for image in rows)
    return framed(np.concatenate([padded(image, width) for image in [*rows, legend(width)]]))


def row(image: np.ndarray, iuv_map: IuvMap, key: str) -> np.ndarray:
    """Return one image (H, W, 3) and its map in all panels, side by side, under a title.

    A map of I alone has no panels of U and V; one with a confidence at every pixel has one more.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    large = resized(image, size)
    iuv = enlarge_map(iuv_map.iuv, *size)
    rounded = iuv.round().astype(np.uint8)
    panels = [
        ("image", boxed(large, iuv_map, scale)),
        ("charts", chart_overlay(large, rounded)),
    ]
    if iuv_map.has_uv:
        panels += [
            ("U", value_overlay(large, rounded, 1)),
            ("V", value_overlay(large, rounded, 2)),
            ("U yellow, V blue", level_lines(large, iuv)),
        ]
    if iuv_map.confidence is not None:
        panels.append(("confidence", sure(large, iuv_map)))
    titled = [np.concatenate([text(name, size[1]), panel]) for name, panel in panels]
    gap = np.full((titled[0].shape[0], GAP, 3), PAPER, np.uint8)
    line = np.concatenate([part for panel in titled for part in (panel, gap)], axis=1)
    return np.concatenate([text(f"{key}   {width}x{height}   {caption(iuv_map)}", line.shape[1]), line])


def contact_sheet(store: IuvStore, root: Path, count: int, seed: int) -> np.ndarray:
    """Return a random sample of images, each beside its charts, with name, status and score: uint8 (H, W, 3) RGB.

    Of a store with confidences also the confidence of each pixel, where there is one, and of the image.

    Raises ImageError for an image of another size than its map.
    """
    chosen = np.random.default_rng(seed).choice(len(store), min(count, len(store)), replace=False)
    cells = []
    for index in sorted(chosen.tolist()):
        image, iuv_map = read(store, root, store.keys[index])
        size = (CELL, max(1, round(image.shape[1] * CELL / image.shape[0])))
        large = resized(image, size)
        enlarged = cv2.resize(iuv_map.iuv, size[::-1], interpolation=cv2.INTER_NEAREST)
        panels = [boxed(large, iuv_map, CELL / image.shape[0]), chart_overlay(large, enlarged)]
        if iuv_map.confidence is not None:
            panels.append(sure(large, iuv_map))
        cell = np.concatenate(panels, axis=1)
        cells.append((f"{fitting(store.keys[index], cell.shape[1])}\n{caption(iuv_map)}", cell))
    columns = max(1, round((len(cells) * CELL / np.mean([cell.shape[1] for _, cell in cells])) ** 0.5 * 1.2))
    page = sheet(cells, columns=columns, height=CELL)
    title = f"{store.header.dataset}: {len(cells)} of {len(store)} images, seed {seed}"
    return framed(np.concatenate([text(title, page.shape[1]), page]))


def read(store: IuvStore, root: Path, key: str) -> tuple[np.ndarray, IuvMap]:
    """Return an image and its map. Raises StoreError or ImageError, see `page`."""
    if key not in store:
        raise StoreError(
            f"{store.path} has no map of {key}; its first key is {store.keys[0]}. The manifest lists all keys."
        )
    iuv_map = store.read(store.index(key))
    image = images.read(root / key)
    if image.shape != iuv_map.iuv.shape:
        raise ImageError(
            f"{root / key} is {image.shape[1]}x{image.shape[0]}, its map "
            f"{iuv_map.iuv.shape[1]}x{iuv_map.iuv.shape[0]}. "
            f"Name the folder of the images that {store.path} was made from: --root."
        )
    return image, iuv_map


def sure(image: np.ndarray, iuv_map: IuvMap) -> np.ndarray:
    """Return an image (h, w, 3) with the confidence of its map's pixels on the body, resized to it."""
    assert iuv_map.confidence is not None, "a map with confidences"
    size = image.shape[1::-1]
    iuv, confidence = (
        cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in (iuv_map.iuv, iuv_map.confidence)
    )
    return confidence_overlay(image, iuv, confidence)


def caption(iuv_map: IuvMap) -> str:
    """Return a map's status, with the score of a detected person and the map's confidence where they are known."""
    known = iuv_map.status == "found" and not np.isnan(iuv_map.score)
    words = f"found {iuv_map.score:.2f}" if known else iuv_map.status
    stated = iuv_map.status != "none" and not np.isnan(iuv_map.image_confidence)
    return f"{words} sure {iuv_map.image_confidence:.2f}" if stated else words


def boxed(image: np.ndarray, iuv_map: IuvMap, scale: float) -> np.ndarray:
    """Return an image with the person's box: green if detected, orange for a fallback, red around the image if none."""
    height, width = image.shape[:2]
    box = np.array([0, 0, width, height]) if np.isnan(iuv_map.box).any() else np.round(iuv_map.box * scale).astype(int)
    x0, y0 = box[:2].tolist()
    x1, y1 = (box[2:] - 1).tolist()
    return cv2.rectangle(image.copy(), (x0, y0), (x1, y1), FRAMES[iuv_map.status], 2)


def legend(width: int) -> np.ndarray:
    """Return the charts' colours and names in columns, uint8 (h, width, 3)."""
    columns = max(1, width // 190)
    rows = -(-len(CHART_NAMES) // columns)
    page = Image.fromarray(np.full(((rows + 1) * LINE, width, 3), PAPER, np.uint8))
    brush, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    colours = chart_colours()
    for index, name in enumerate(CHART_NAMES):
        x, y = index // rows * 190, LINE // 2 + index % rows * LINE
        brush.rectangle((x, y + 3, x + 16, y + 17), fill=tuple(colours[index + 1].tolist()))
        brush.text((x + 22, y + 2), f"{index + 1} {name}", fill=INK, font=font)
    return np.asarray(page)


def text(line: str, width: int) -> np.ndarray:
    """Return a line of text, uint8 (LINE, width, 3)."""
    page = Image.fromarray(np.full((LINE, width, 3), PAPER, np.uint8))
    ImageDraw.Draw(page).text((2, 3), line, fill=INK, font=ImageFont.load_default(14))
    return np.asarray(page)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (H, W, 3) resized to `size` (h, w)."""
    interpolation = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation))


def padded(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image (H, W, 3) filled up to `width` on the right."""
    return np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=PAPER)


def framed(image: np.ndarray) -> np.ndarray:
    """Return a page (H, W, 3) with an empty margin around it."""
    return np.pad(image, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=PAPER)
