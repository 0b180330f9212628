"""The results of a search for people to read: a table, and a page with a row of images for each query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dsa_data import images
from dsa_reid.body import REGION_NAMES
from dsa_reid.visible import describe

from .hits import QueryResult

HEIGHT, WIDTH = 192, 96  # of an image on the page
GAP, FRAME, CAPTION = 8, 4, 16
BAR = 15  # height of a region's line
INK, PAPER = (45, 45, 45), (255, 255, 255)
CORRECT, FALSE, UNKNOWN = (34, 139, 70), (200, 50, 45), (225, 225, 225)
DISAGREES, CHANCE, AGREES = (214, 96, 77), (247, 247, 247), (67, 147, 95)  # agreement of -1, 0 and 1


def table(results: Sequence[QueryResult]) -> str:
    """Return results as text: a line a hit, with each region's agreement if explained."""
    names = "".join(f"{name:>12}" for name in REGION_NAMES)
    lines = []
    for result in results:
        if result.nobody:
            lines.append(
                f"{result.query}\n    nobody here: the person is in the gallery with P = {result.presence:.2f}"
            )
            continue
        known = result.presence is not None
        sure = f"{'P':>7}" if known else ""
        there = f", in the gallery with P = {result.presence:.2f}" if known else ""
        lines.append(f"{result.query}{there}\n{'':>4}{'distance':>9}{sure}{names if result.explanation else ''}  image")
        for n, hit in enumerate(result.hits):
            agreement = [] if result.explanation is None else result.explanation.agreement[n].tolist()
            values = "".join(f"{_rounded(value):>12}" for value in agreement)
            mark = {True: "  right", False: "  wrong", None: ""}[hit.correct]
            chance = "" if hit.probability is None else f"{hit.probability:>7.3f}"
            lines.append(f"{n + 1:>4}{hit.distance:>9.3f}{chance}{values}  {hit.key}{mark}")
            if hit.seen is not None:
                lines.append(f"{'':>6}{describe(hit.seen)}")
        if not result.hits:
            lines.append(f"{'':>4}no answer: too little of the body is seen in both images")
    return "\n".join(lines)


def page(results: Sequence[QueryResult], root: Path) -> np.ndarray:
    """Return an image of results, a row each: the query, then its hits, framed green if correct and red if false.

    Args:
        results: with an explanation, eight lines stand below each hit, one a region: green where it agrees, white where
            half of the gallery agrees as much, red where it does not; see `Explanation`.
        root: folder of the gallery's images.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises ImageError for an image that cannot be read.
    """
    rows = [_row(result, root) for result in results]
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )


def _row(result: QueryResult, root: Path) -> np.ndarray:
    cells = [_cell(images.read(Path(result.query)), "query", INK)]
    for hit in result.hits:
        colour = UNKNOWN if hit.correct is None else CORRECT if hit.correct else FALSE
        cells.append(_cell(images.read(root / hit.key), f"{hit.distance:.2f}", colour))
    if result.explanation is not None:
        below = [_names(), *map(_bars, result.explanation.agreement.tolist())]
        cells = [np.concatenate(pair) for pair in zip(cells, below, strict=True)]
    cells[0] = np.pad(cells[0], ((0, 0), (0, GAP), (0, 0)), constant_values=255)  # the query stands apart
    spaced = [np.pad(cell, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255) for cell in cells]
    return np.pad(np.concatenate(spaced, axis=1), ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _cell(image: np.ndarray, caption: str, colour: tuple[int, int, int]) -> np.ndarray:
    cell = _blank(HEIGHT + 2 * FRAME + CAPTION)
    cell[CAPTION:] = colour
    how = cv2.INTER_AREA if image.shape[0] > HEIGHT else cv2.INTER_CUBIC
    cell[CAPTION + FRAME : -FRAME, FRAME:-FRAME] = cv2.resize(image, (WIDTH, HEIGHT), interpolation=how)
    _write(cell, caption, 1, CAPTION - 4)
    return cell


def _names() -> np.ndarray:
    block = _blank(GAP + BAR * len(REGION_NAMES))
    for n, name in enumerate(REGION_NAMES):
        _write(block, name, 1, GAP + BAR * (n + 1) - 4)
    return block


def _bars(agreement: Sequence[float]) -> np.ndarray:
    """Return the agreement of eight regions as coloured lines with their numbers."""
    block = _blank(GAP + BAR * len(agreement))
    for n, value in enumerate(agreement):
        top = GAP + BAR * n
        block[top : top + BAR - 1] = _colour(value)
        _write(block, _rounded(value), block.shape[1] // 2 - 12, top + BAR - 4)
    return block


def _colour(value: float) -> NDArray[np.float64]:
    end, middle = np.array(AGREES if value >= 0 else DISAGREES), np.array(CHANCE)
    return np.asarray(np.round(middle + (end - middle) * abs(value)))


def _rounded(agreement: float) -> str:
    """Return the number with two digits, and no minus before a zero."""
    return f"{round(agreement, 2) + 0.0:.2f}"


def _blank(height: int) -> np.ndarray:
    return np.full((height, WIDTH + 2 * FRAME, 3), PAPER, np.uint8)


def _write(image: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
