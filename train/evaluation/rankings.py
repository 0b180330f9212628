"""The rankings of single queries, drawn: what the gallery answered, right, wrong, or out of the count."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dsa_app.config import suggestion
from dsa_app.errors import DatasetError
from dsa_data.images import read
from dsa_data.records import Record

from . import metrics
from .config import EvaluateConfig
from .retrieval import Side, ranked

Picture = NDArray[np.uint8]
HEIGHT, WIDTH = 128, 64  # of a picture in its cell
BORDER, CAPTION, GAP = 4, 16, 6
INK, RIGHT, WRONG, SAME, WHITE = (40, 40, 40), (0, 150, 60), (210, 40, 40), (170, 170, 170), (255, 255, 255)
LEGEND = (("right", RIGHT), ("wrong", WRONG), ("query's own camera, or its copy: not counted", SAME))


@dataclasses.dataclass(frozen=True)
class Answer:
    """A gallery picture in a query's ranking; `rank` is None where the query's own camera took it."""

    record: Record
    distance: float
    right: bool
    rank: int | None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A query with its nearest gallery pictures; `ap` is NaN where no other camera saw the person."""

    query: Record
    ap: float
    answers: Sequence[Answer]


def rankings(query: Side, gallery: Side, config: EvaluateConfig, device: torch.device, length: int) -> list[Ranking]:
    """Rank the gallery for every query, and return each one's nearest `length` pictures.

    Average precision is over the whole gallery, also where a protocol draws from it. Errors as for `retrieval.compare`.
    """
    q_pids, g_pids = query.pids, gallery.pids
    length = min(length, len(g_pids))
    parts, near = [], []
    for some, distmat in ranked(query.features, gallery.features, config, device):
        parts.append(metrics.find_matches(distmat, q_pids[some], g_pids, query.camids[some], gallery.camids))
        near += [_nearest(row, g_pids == pid, length) for row, pid in zip(distmat, q_pids[some], strict=True)]
        del distmat  # or the next block would be made beside it
    ap = metrics.measure(metrics.joined(parts), trapezoid=config.trapezoid).ap
    return [
        Ranking(record, float(score), _answers(record, camid, gallery, *nearest))
        for record, camid, score, nearest in zip(query.records, query.camids, ap, near, strict=True)
    ]


def _nearest(
    row: NDArray[np.float32], right: NDArray[np.bool_], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places of a row's smallest distances, and these, ascending; of equal ones the wrong first."""
    near = np.flatnonzero(row <= np.partition(row, length - 1)[length - 1])
    places = near[np.lexsort((right[near], row[near]))][:length]
    return places, row[places]


def _answers(
    query: Record, camid: int, gallery: Side, places: NDArray[np.int64], distances: NDArray[np.float32]
) -> list[Answer]:
    answers, rank = [], 0
    for place, distance in zip(places.tolist(), distances.tolist(), strict=True):
        record = gallery.records[place]
        right = record.pid == query.pid
        counts = not (right and gallery.camids[place] == camid)
        rank += counts
        answers.append(Answer(record, distance, right, rank if counts else None))
    return answers


def chosen(found: Sequence[Ranking], keys: Sequence[str]) -> list[Ranking]:
    """Return the rankings of the queries with these keys. Raises DatasetError for a key that no query has."""
    by_key = {ranking.query.key: ranking for ranking in found}
    for key in keys:
        if key not in by_key:
            raise DatasetError(
                f"No query has the key {key!r}.{suggestion(key, list(by_key)) if len(by_key) < 9999 else ''}"
            )
    return [by_key[key] for key in keys]


def best_and_worst(found: Sequence[Ranking], count: int) -> tuple[list[Ranking], list[Ranking]]:
    """Return the queries of highest and of lowest average precision, best and worst first; equals by key."""
    counted = sorted((one for one in found if not np.isnan(one.ap)), key=lambda one: (one.ap, one.query.key))
    return counted[::-1][:count], counted[:count]


def draw(found: Sequence[Ranking], root: Path) -> Picture:
    """Draw rankings, a row each, the query first: uint8 (H, W, 3) RGB. Raises ImageError."""
    cell_width, row_height = WIDTH + 2 * BORDER + GAP, HEIGHT + 2 * BORDER + 2 * CAPTION + GAP
    columns = 1 + max(len(one.answers) for one in found)
    page = np.full((CAPTION + GAP + len(found) * row_height, columns * cell_width + 3 * GAP, 3), 255, np.uint8)
    x = GAP
    for words, colour in LEGEND:
        page[GAP : GAP + 10, x : x + 10] = colour
        _write(page, words, x + 14, GAP + 10)
        x += 30 + 7 * len(words)
    for row, one in enumerate(found):
        top = CAPTION + GAP + row * row_height
        ap = "no match" if np.isnan(one.ap) else f"AP {100 * one.ap:.1f}"
        _cell(page, GAP, top, read(root / one.query.key), INK, (f"{one.query.pid} c{one.query.camid}", ap))
        for column, answer in enumerate(one.answers, start=1):
            colour = SAME if answer.rank is None else RIGHT if answer.right else WRONG
            picture = read(root / answer.record.key)
            shown = _grey(picture) if answer.rank is None else picture
            rank = "-" if answer.rank is None else str(answer.rank)
            lines = (f"{rank}:  {answer.distance:.2f}", f"{answer.record.pid} c{answer.record.camid}")
            _cell(page, 2 * GAP + column * cell_width, top, shown, colour, lines)
    return page


def _cell(
    page: Picture, x: int, y: int, picture: Picture, colour: tuple[int, int, int], words: tuple[str, str]
) -> None:
    """Put a picture, framed, with two lines below, at its place on the page."""
    scale = min(HEIGHT / picture.shape[0], WIDTH / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    page[y : y + HEIGHT + 2 * BORDER, x : x + WIDTH + 2 * BORDER] = colour
    inside = page[y + BORDER : y + BORDER + HEIGHT, x + BORDER : x + BORDER + WIDTH]
    inside[:] = WHITE
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    inside[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=how)
    for line, text in enumerate(words, start=1):
        _write(page, text, x, y + HEIGHT + 2 * BORDER + line * CAPTION - 4)


def _grey(picture: Picture) -> Picture:
    """Return a picture without colours, and pale."""
    return np.asarray(np.repeat(160 + picture.mean(axis=2, keepdims=True) * 0.35, 3, axis=2).clip(0, 255), np.uint8)


def _write(page: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
