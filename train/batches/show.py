"""A batch rendered as one image: augmented images with their part images beside them, an identity a row."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from dsa_data.charts import CHART_NAMES
from dsa_reid.preprocessing import Preprocessing

COLUMNS, ROWS = 4, 6  # of the 24 part images: charts 1-4, 5-8, ...
CELL = 33  # least side of a part image with its line, in pixels
GAP = 6
LINE = ((1, 0), (1, 0), (0, 0))  # above and left of every part image
PAPER, INK, NOTE = (255, 255, 255), (40, 40, 40), (235, 235, 240)
FONT, LEGEND = 0.42, 18  # size of the text, and height of its lines


def render_batch(
    images: torch.Tensor,
    parts: torch.Tensor | None,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    columns: int,
) -> np.ndarray:
    """Render a batch as one image.

    Args:
        images: the input of the network, float (B, 3, H, W).
        parts: float (B, 24, 3, S, S), or None for a network without a guide.
        labels: B lines, written above the images.
        preprocessing: by which `images` and `parts` were normalised.
        columns: images a row: K, for an identity a row.

    Returns:
        uint8 (height, width, 3), RGB. Erased pixels and texels that are not valid have the mean colour. An image of
        which no texel is valid has a note in the place of its part images. The names of the charts are below.
    """
    tiles = [
        _tile(
            _colours(images[n], preprocessing),
            None if parts is None else _colours(parts[n], preprocessing),
            labels[n],
            parts is not None and not parts[n].any(),
        )
        for n in range(len(images))
    ]
    rows = [np.concatenate(tiles[start : start + columns], 1) for start in range(0, len(tiles), columns)]
    page = np.concatenate(rows)
    return page if parts is None else np.concatenate([page, _legend(page.shape[1])])


def _legend(width: int) -> np.ndarray:
    """Return the names of the charts, in the order of the part images, in as many lines as they need."""
    names = [f"{number} {name}" for number, name in enumerate(CHART_NAMES, start=1)]
    lines = ["Part images, row by row:"]
    for name in names:
        longer = f"{lines[-1]}  {name}"
        if cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, FONT, 1)[0][0] <= width - 2 * GAP:
            lines[-1] = longer
        else:
            lines.append(name)
    block = np.full((LEGEND * len(lines) + GAP, width, 3), PAPER, np.uint8)
    for number, line in enumerate(lines, start=1):
        _write(block, line, GAP, number * LEGEND)
    return block


def _note(height: int, width: int) -> np.ndarray:
    """Return what is shown in the place of 24 empty part images: uint8 (height, width, 3)."""
    block = np.full((height, width, 3), NOTE, np.uint8)
    for number, line in enumerate(("no part images:", "no texel of this", "image is valid"), start=1):
        _write(block, line, 4, height // 2 + (number - 2) * LEGEND)
    return block


def _write(block: np.ndarray, line: str, x: int, y: int) -> None:
    cv2.putText(block, line, (x, y), cv2.FONT_HERSHEY_SIMPLEX, FONT, INK, 1, cv2.LINE_AA)


def _tile(image: np.ndarray, parts: np.ndarray | None, label: str, empty: bool) -> np.ndarray:
    """Put an image (H, W, 3) and its part images (24, S, S, 3), or a note if all are empty, under their label."""
    cell = max(CELL, image.shape[0] // ROWS)
    height = ROWS * cell
    content = [_scaled(image, height, round(height * image.shape[1] / image.shape[0]))]
    if parts is not None:
        grid = np.stack([np.pad(_scaled(part, cell - 1, cell - 1), LINE, constant_values=255) for part in parts])
        grid = grid.reshape(ROWS, COLUMNS, cell, cell, 3).swapaxes(1, 2)  # (6, cell, 4, cell, 3)
        content.append(_note(height, COLUMNS * cell) if empty else grid.reshape(height, COLUMNS * cell, 3))
    body = np.concatenate([np.pad(block, ((0, 0), (0, 2), (0, 0)), constant_values=255) for block in content], 1)
    head = np.full((20, body.shape[1], 3), PAPER, np.uint8)
    cv2.putText(head, label, (0, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return np.pad(np.concatenate([head, body]), ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)


def _scaled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize without smoothing, so that every pixel and texel stays visible."""
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)


def _colours(normalised: torch.Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Undo the normalisation: float (..., 3, h, w) to uint8 (..., h, w, 3)."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    colours = normalised.movedim(-3, -1).float().cpu() * std + mean
    return (255 * colours).round().clamp(0, 255).byte().numpy()
