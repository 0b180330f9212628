"""A batch rendered as one image: augmented images with their part images beside them, an identity a row."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from dsa_reid.preprocessing import Preprocessing

COLUMNS, ROWS = 4, 6  # of the 24 part images: charts 1-4, 5-8, ...
CELL = 33  # least side of a part image with its line, in pixels
GAP = 6
LINE = ((1, 0), (1, 0), (0, 0))  # above and left of every part image
PAPER, INK = (255, 255, 255), (40, 40, 40)


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
        uint8 (height, width, 3), RGB. Erased pixels and texels that are not valid have the mean colour.
    """
    tiles = [
        _tile(
            _colours(images[n], preprocessing),
            None if parts is None else _colours(parts[n], preprocessing),
            labels[n],
        )
        for n in range(len(images))
    ]
    rows = [np.concatenate(tiles[start : start + columns], 1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _tile(image: np.ndarray, parts: np.ndarray | None, label: str) -> np.ndarray:
    """Put an image (H, W, 3) and its part images (24, S, S, 3) side by side, under their label."""
    cell = max(CELL, image.shape[0] // ROWS)
    height = ROWS * cell
    content = [_scaled(image, height, round(height * image.shape[1] / image.shape[0]))]
    if parts is not None:
        grid = np.stack([np.pad(_scaled(part, cell - 1, cell - 1), LINE, constant_values=255) for part in parts])
        grid = grid.reshape(ROWS, COLUMNS, cell, cell, 3).swapaxes(1, 2)  # (6, cell, 4, cell, 3)
        content.append(grid.reshape(height, COLUMNS * cell, 3))
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
