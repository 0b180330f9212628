"""What a search found, for people to look at: a table, and a page with each query's row of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dsa_reid.body import REGION_NAMES
from dsa_reid.regions import Explanation

HEIGHT, WIDTH = 192, 96  # of a picture on the page
GAP, FRAME, CAPTION = 8, 4, 16
BAR = 15  # height of a region's line
INK, PAPER = (45, 45, 45), (255, 255, 255)
RIGHT, WRONG, UNKNOWN = (34, 139, 70), (200, 50, 45), (225, 225, 225)
DISAGREES, CHANCE, AGREES = (214, 96, 77), (247, 247, 247), (67, 147, 95)  # agreement of -1, 0 and 1


class Hit(NamedTuple):
    """One found picture: its key, distance, and whether it is the query's person, if that is known."""

    key: str
    distance: float
    right: bool | None = None


class Answer(NamedTuple):
    """A query and what was found for it, nearest first."""

    query: str
    hits: Sequence[Hit]
    explanation: Explanation | None = None


def table(answers: Sequence[Answer]) -> str:
    """Return answers as text: a line a hit, with each region's agreement if explained."""
    names = "".join(f"{name:>12}" for name in REGION_NAMES)
    lines = []
    for answer in answers:
        lines.append(f"{answer.query}\n{'':>4}{'distance':>9}{names if answer.explanation else ''}  picture")
        for n, hit in enumerate(answer.hits):
            agreement = [] if answer.explanation is None else answer.explanation.agreement[n].tolist()
            values = "".join(f"{_rounded(value):>12}" for value in agreement)
            mark = {True: "  right", False: "  wrong", None: ""}[hit.right]
            lines.append(f"{n + 1:>4}{hit.distance:>9.3f}{values}  {hit.key}{mark}")
    return "\n".join(lines)


def page(answers: Sequence[Answer], queries: Sequence[np.ndarray], found: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Draw answers, a row each: the query, then what was found, framed green if right and red if wrong.

    Args:
        answers: with an explanation, each picture stands above eight lines, one a region: green where it agrees,
            white where half of the gallery agrees as much, red where it does not; see `Explanation`.
        queries: uint8 (H, W, 3) RGB of each query.
        found: uint8 (H, W, 3) RGB of each hit.

    Returns:
        uint8 (H', W', 3), RGB.
    """
    rows = [_row(*one) for one in zip(answers, queries, found, strict=True)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )


def _row(answer: Answer, query: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    cells = [_cell(query, "query", INK)]
    for hit, picture in zip(answer.hits, found, strict=True):
        colour = UNKNOWN if hit.right is None else RIGHT if hit.right else WRONG
        cells.append(_cell(picture, f"{hit.distance:.2f}", colour))
    if answer.explanation is not None:
        below = [_names(), *map(_bars, answer.explanation.agreement.tolist())]
        cells = [np.concatenate(pair) for pair in zip(cells, below, strict=True)]
    cells[0] = np.pad(cells[0], ((0, 0), (0, GAP), (0, 0)), constant_values=255)  # the query stands apart
    spaced = [np.pad(cell, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255) for cell in cells]
    return np.pad(np.concatenate(spaced, axis=1), ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _cell(picture: np.ndarray, caption: str, colour: tuple[int, int, int]) -> np.ndarray:
    cell = _blank(HEIGHT + 2 * FRAME + CAPTION)
    cell[CAPTION:] = colour
    how = cv2.INTER_AREA if picture.shape[0] > HEIGHT else cv2.INTER_CUBIC
    cell[CAPTION + FRAME : -FRAME, FRAME:-FRAME] = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=how)
    _write(cell, caption, 1, CAPTION - 4)
    return cell


def _names() -> np.ndarray:
    block = _blank(GAP + BAR * len(REGION_NAMES))
    for n, name in enumerate(REGION_NAMES):
        _write(block, name, 1, GAP + BAR * (n + 1) - 4)
    return block


def _bars(agreement: Sequence[float]) -> np.ndarray:
    """Draw what eight regions say as coloured lines with their number."""
    block = _blank(GAP + BAR * len(agreement))
    for n, value in enumerate(agreement):
        top = GAP + BAR * n
        block[top : top + BAR - 1] = _colour(value)
        _write(block, _rounded(value), block.shape[1] // 2 - 12, top + BAR - 4)
    return block


def _colour(value: float) -> np.ndarray:
    end, middle = np.array(AGREES if value >= 0 else DISAGREES), np.array(CHANCE)
    return np.round(middle + (end - middle) * abs(value))


def _rounded(agreement: float) -> str:
    """Return two digits, and no minus before a nought."""
    return f"{round(agreement, 2) + 0.0:.2f}"


def _blank(height: int) -> np.ndarray:
    return np.full((height, WIDTH + 2 * FRAME, 3), PAPER, np.uint8)


def _write(picture: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
