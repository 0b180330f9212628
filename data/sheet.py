"""Contact sheets: many pictures on one page, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import DatasetError

from .images import read
from .records import Entry

Picture = NDArray[np.uint8]
CAPTION = 14  # height of a caption in pixels


def sheet(pictures: Sequence[tuple[str, Picture]], columns: int = 8, height: int = 192) -> Picture:
    """Lay pictures out in rows, each under its caption.

    Args:
        pictures: caption, and uint8 (H, W, 3) RGB of any size. An empty caption everywhere leaves no room for it.
        height: to which every picture is scaled.

    Returns:
        uint8 (H', W', 3) RGB; cells are as wide as the widest picture.
    """
    assert pictures, "a sheet has at least one picture"
    scaled = [_scaled(picture, height) for _, picture in pictures]
    top = CAPTION if any(caption for caption, _ in pictures) else 0
    cell_width, cell_height = max(picture.shape[1] for picture in scaled) + 4, height + top + 4
    rows = -(-len(scaled) // columns)
    page = np.full((rows * cell_height, min(columns, len(scaled)) * cell_width, 3), 255, np.uint8)
    for place, (picture, (caption, _)) in enumerate(zip(scaled, pictures, strict=True)):
        y, x = place // columns * cell_height + top, place % columns * cell_width
        page[y : y + height, x : x + picture.shape[1]] = picture
        if caption:
            cv2.putText(page, caption, (x + 1, y - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (40, 40, 40), 1, cv2.LINE_AA)
    return page


def identity_sheet(
    root: Path, entries: Sequence[Entry], identities: int = 8, seed: int = 0, pictures: int = 8
) -> Picture:
    """Show some identities of a dataset, a row each; drawn at random, distractors left out.

    Raises:
        DatasetError: if there is no identity to show. ImageError: for a picture that does not decode.
    """
    by_pid: dict[int, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.key):
        if entry.pid > 0:
            by_pid.setdefault(entry.pid, []).append(entry)
    if not by_pid:
        raise DatasetError(f"{root} holds no picture of an identity. List it: dsa-data stats.")
    pids = sorted(by_pid)
    generator = np.random.default_rng(seed)
    chosen = sorted(generator.choice(pids, min(identities, len(pids)), replace=False).tolist())
    columns = min(pictures, max(len(by_pid[pid]) for pid in chosen))
    rows = [_row(root, by_pid[pid][:pictures], columns) for pid in chosen]
    return sheet([cell for row in rows for cell in row], columns=columns)


def _row(root: Path, entries: Sequence[Entry], length: int) -> list[tuple[str, Picture]]:
    cells = [(f"{entry.pid} c{entry.camid} {entry.split}", read(root / entry.key)) for entry in entries]
    empty = np.full((8, 4, 3), 255, np.uint8)
    return cells + [("", empty)] * (length - len(cells))


def _scaled(picture: Picture, height: int) -> Picture:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    how = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)
