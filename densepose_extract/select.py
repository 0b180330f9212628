"""The choice of a crop's own person: not always the box with the best score, which may be a bystander."""

from __future__ import annotations

import numpy as np


def choose(
    boxes: np.ndarray, scores: np.ndarray, height: int, width: int, confidences: np.ndarray | None = None
) -> int | None:
    """Return the index of the crop's own person: the box with the largest score × area × centrality.

    Args:
        boxes: (D, 4) XYXY in pixels of the image.
        scores: (D,), best first; of equal products the first is chosen.
        height, width: of the image in pixels.
        confidences: (D,), of each person's map as a whole, 0 to 1, where the maps are known before the choice; it is a
            factor then. NaN, as None, counts as 1.

    Returns:
        An index into `boxes`, None if there is no box.
    """
    if len(boxes) == 0:
        return None
    value = np.asarray(scores, np.float64) * area(boxes, height, width) * centrality(boxes, height, width)
    if confidences is not None:
        value = value * np.nan_to_num(np.asarray(confidences, np.float64), nan=1.0)
    return int(value.argmax())


def area(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the share of the image that each box (D, 4) covers: (D,) in [0, 1]."""
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).T
    w = np.clip(x1, 0, width) - np.clip(x0, 0, width)
    h = np.clip(y1, 0, height) - np.clip(y0, 0, height)
    return np.asarray(w * h / (height * width))


def centrality(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return how central each box (D, 4) is: (1 − |dx|)(1 − |dy|), (D,) in [0, 1].

    dx and dy lead from the image's centre to the box's, in half widths and half heights of the image: a box in the
    middle has centrality 1, a box whose centre is on the border 0.
    """
    x0, y0, x1, y1 = np.asarray(boxes, np.float64).T
    dx = np.abs((x0 + x1) / width - 1)
    dy = np.abs((y0 + y1) / height - 1)
    return np.asarray(np.clip(1 - dx, 0, 1) * np.clip(1 - dy, 0, 1))
