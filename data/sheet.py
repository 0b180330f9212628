"""Contact sheets: many images on one page, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import DatasetError

from .images import read
from .records import Entry

Image = NDArray[np.uint8]  # (H, W, 3) RGB
CAPTION = 14  # height of a line of a caption in pixels
FONT = 0.34  # its size, in units of OpenCV's font


def sheet(images: Sequence[tuple[str, Image]], columns: int = 8, height: int = 192) -> Image:
    """Return a page of images in rows, each under its caption.

    Args:
        images: caption, of one or more lines, and uint8 (H, W, 3) RGB of any size. If all captions are empty, no room
            is left for them.
        height: every image is scaled to it, in pixels.

    Returns:
        uint8 (H', W', 3) RGB; cells are as wide as the widest image.
    """
    assert images, "a sheet has at least one image"
    scaled = [_scaled(image, height) for _, image in images]
    top = CAPTION * max(len(caption.splitlines()) for caption, _ in images)
    cell_width, cell_height = max(image.shape[1] for image in scaled) + 4, height + top + 4
    rows = -(-len(scaled) // columns)
    page = np.full((rows * cell_height, min(columns, len(scaled)) * cell_width, 3), 255, np.uint8)
    for index, (image, (caption, _)) in enumerate(zip(scaled, images, strict=True)):
        y, x = index // columns * cell_height + top, index % columns * cell_width
        page[y : y + height, x : x + image.shape[1]] = image
        lines = caption.splitlines()
        for above, line in enumerate(reversed(lines)):  # the last one is next to the image
            at = (x + 1, y - 3 - above * CAPTION)
            cv2.putText(page, line, at, cv2.FONT_HERSHEY_SIMPLEX, FONT, (40, 40, 40), 1, cv2.LINE_AA)
    return page


def fitting(name: str, width: int) -> str:
    """Return the name of a file, of which the start is left out where it is wider than `width` pixels in a caption."""
    for start in range(len(name)):
        shown = name if start == 0 else f"...{name[start:]}"
        if cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, FONT, 1)[0][0] <= width:
            return shown
    return name[-1:]


def identity_sheet(root: Path, entries: Sequence[Entry], identities: int = 8, seed: int = 0, images: int = 8) -> Image:
    """Return a page of a random sample of identities, without distractors: a row each, of at most `images` images.

    Raises:
        DatasetError: if there is no identity to show.
        ImageError: for an image that does not decode.
    """
    by_pid: dict[int, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.key):
        if entry.pid > 0:
            by_pid.setdefault(entry.pid, []).append(entry)
    if not by_pid:
        raise DatasetError(f"{root} has no image of an identity: all are distractors. See its counts: dsa-data stats.")
    pids = sorted(by_pid)
    generator = np.random.default_rng(seed)
    chosen = sorted(generator.choice(pids, min(identities, len(pids)), replace=False).tolist())
    columns = min(images, max(len(by_pid[pid]) for pid in chosen))
    rows = [_row(root, by_pid[pid][:images], columns) for pid in chosen]
    return sheet([cell for row in rows for cell in row], columns=columns)


def _row(root: Path, entries: Sequence[Entry], length: int) -> list[tuple[str, Image]]:
    cells = [(f"{entry.pid} c{entry.camid} {entry.split}", read(root / entry.key)) for entry in entries]
    empty = np.full((8, 4, 3), 255, np.uint8)
    return cells + [("", empty)] * (length - len(cells))


def _scaled(image: Image, height: int) -> Image:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    interpolation = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
