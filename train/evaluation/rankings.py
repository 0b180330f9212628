"""Rankings of single queries: the nearest gallery images, correct, false or left out; and a page of them."""

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
from dsa_app.wording import shown
from dsa_data.images import read
from dsa_data.records import Record
from dsa_reid.config import REGIONS

from .config import EvaluateConfig
from .distmat import GALLERY
from .matches import find_matches, joined
from .metrics import measure
from .retrieval import Side, labels_of, ranked

Image = NDArray[np.uint8]
HEIGHT, WIDTH = 128, 64  # of an image in its cell
BORDER, CAPTION, GAP = 4, 16, 6
LINES, LETTERS = 4, 12  # of text below an image, and letters of a file's name in a line of it
INK, CORRECT, FALSE, LEFT_OUT = (40, 40, 40), (0, 150, 60), (210, 40, 40), (170, 170, 170)
WHITE = (255, 255, 255)
LEGEND = (("right", CORRECT), ("wrong", FALSE), ("query's own camera, or its copy: not counted", LEFT_OUT))


@dataclasses.dataclass(frozen=True)
class Hit:
    """A gallery image in a query's ranking; `rank` is None where the protocol leaves it out.

    `seen` is how much of each of the eight regions both images show; None unless distances compare that.
    """

    record: Record
    distance: float
    correct: bool
    rank: int | None
    seen: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A query with its nearest gallery images; `ap` is NaN where no other camera saw the person.

    `name` says which result it is of, where a page shows two.
    """

    query: Record
    ap: float
    hits: Sequence[Hit]
    name: str = ""


def rankings(query: Side, gallery: Side, config: EvaluateConfig, device: torch.device, length: int) -> list[Ranking]:
    """Return each query's ranking, its nearest `length` gallery images.

    Average precision is over the whole gallery, also where a protocol samples from it. Errors as for
    `retrieval.compare`.
    """
    labels = labels_of(query, gallery, config)
    length = min(length, len(labels.g_pids))
    parts, near = [], []
    for queries, distmat in ranked(query, gallery, config, device):
        some = labels.select(queries)
        parts.append(find_matches(distmat, some))
        near += [_nearest(row, labels.g_pids == pid, length) for row, pid in zip(distmat, some.q_pids, strict=True)]
        del distmat  # otherwise the next block is made while this one is in memory
    ap = measure(joined(parts), trapezoid=config.trapezoid).ap
    found = [
        Ranking(record, float(score), _hits(record, labels.left_out(row, columns), gallery, columns, distances))
        for row, (record, score, (columns, distances)) in enumerate(zip(query.records, ap, near, strict=True))
    ]
    return (
        _with_seen(found, query, gallery, [columns for columns, _ in near]) if config.distance == "visible" else found
    )


def _with_seen(
    rankings: Sequence[Ranking], query: Side, gallery: Side, columns: Sequence[NDArray[np.int64]]
) -> list[Ranking]:
    """Return rankings whose hits, gallery images `columns`, say what both images show."""
    own, others = _visibilities(query), _visibilities(gallery)
    found = []
    for ranking, mine, some in zip(rankings, own, columns, strict=True):
        both = np.minimum(mine, others[some]).tolist()
        hits = [dataclasses.replace(hit, seen=tuple(one)) for hit, one in zip(ranking.hits, both, strict=True)]
        found.append(dataclasses.replace(ranking, hits=hits))
    return found


def _visibilities(side: Side) -> NDArray[np.float32]:
    """Return the visibilities of a side's images (N, 8), the last columns of their features, read in pieces."""
    starts = range(0, len(side.records), GALLERY)
    return np.concatenate([np.asarray(side.features[one : one + GALLERY], np.float32)[:, -REGIONS:] for one in starts])


def _nearest(
    row: NDArray[np.float32], same: NDArray[np.bool_], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the columns of a row's smallest distances, and these distances, ascending; at ties false matches first.

    Args:
        same: (G,), which gallery images show the query's person.
    """
    near = np.flatnonzero(row <= np.partition(row, length - 1)[length - 1])
    columns = near[np.lexsort((same[near], row[near]))][:length]
    return columns, row[columns]


def _hits(
    query: Record,
    left_out: NDArray[np.bool_],
    gallery: Side,
    columns: NDArray[np.int64],
    distances: NDArray[np.float32],
) -> list[Hit]:
    hits, rank = [], 0
    for out, column, distance in zip(left_out.tolist(), columns.tolist(), distances.tolist(), strict=True):
        record = gallery.records[column]
        correct = record.pid == query.pid
        counts = not (correct and out)
        rank += counts
        hits.append(Hit(record, distance, correct, rank if counts else None))
    return hits


def select(rankings: Sequence[Ranking], keys: Sequence[str]) -> list[Ranking]:
    """Return the rankings of the queries with these keys. Raises DatasetError for a key that no query has."""
    by_key = {ranking.query.key: ranking for ranking in rankings}
    for key in keys:
        if key not in by_key:
            raise DatasetError(
                f"No query has the key {shown(key)}.{suggestion(key, list(by_key)) if len(by_key) < 9999 else ''}"
            )
    return [by_key[key] for key in keys]


def best_and_worst(rankings: Sequence[Ranking], count: int) -> tuple[list[Ranking], list[Ranking]]:
    """Return the queries of highest and of lowest average precision, best and worst first; equals by key."""
    counted = sorted((one for one in rankings if not np.isnan(one.ap)), key=lambda one: (one.ap, one.query.key))
    return counted[::-1][:count], counted[:count]


def page(rankings: Sequence[Ranking], root: Path) -> Image:
    """Return an image of rankings, a row each, the query first: uint8 (H, W, 3) RGB.

    Below an image are rank and distance, person and camera, and the end of its file's name; a query has its average
    precision in the place of rank and distance. Raises ImageError.
    """
    cell_width, row_height = WIDTH + 2 * BORDER + GAP, HEIGHT + 2 * BORDER + LINES * CAPTION + GAP
    columns = 1 + max(len(ranking.hits) for ranking in rankings)
    canvas = np.full((CAPTION + GAP + len(rankings) * row_height, columns * cell_width + 3 * GAP, 3), 255, np.uint8)
    x = GAP
    for words, colour in LEGEND:
        canvas[GAP : GAP + 10, x : x + 10] = colour
        _write(canvas, words, x + 14, GAP + 10)
        x += 30 + 7 * len(words)
    for row, ranking in enumerate(rankings):
        top = CAPTION + GAP + row * row_height
        query = ranking.query
        ap = "no match" if np.isnan(ranking.ap) else f"AP {100 * ranking.ap:.1f} {ranking.name}".rstrip()
        lines = [f"{query.pid} c{query.camid}", ap, *_named(query.key)]
        _cell(canvas, GAP, top, read(root / query.key), INK, lines)
        for column, hit in enumerate(ranking.hits, start=1):
            colour = LEFT_OUT if hit.rank is None else CORRECT if hit.correct else FALSE
            image = read(root / hit.record.key)
            shown = _grey(image) if hit.rank is None else image
            rank = "-" if hit.rank is None else str(hit.rank)
            lines = [f"{rank}:  {hit.distance:.2f}", f"{hit.record.pid} c{hit.record.camid}", *_named(hit.record.key)]
            _cell(canvas, 2 * GAP + column * cell_width, top, shown, colour, lines)
    return canvas


def _named(key: str) -> list[str]:
    """Return the end of an image's path, without the file's ending, in two lines that fit a cell."""
    name = key.rpartition(".")[0] or key
    end = name[-2 * LETTERS :]
    return [end[:LETTERS], end[LETTERS:]]


def _cell(canvas: Image, x: int, y: int, image: Image, colour: tuple[int, int, int], words: Sequence[str]) -> None:
    """Put an image, framed, with lines of text below, on the page at column x and row y."""
    scale = min(HEIGHT / image.shape[0], WIDTH / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[y : y + HEIGHT + 2 * BORDER, x : x + WIDTH + 2 * BORDER] = colour
    inside = canvas[y + BORDER : y + BORDER + HEIGHT, x + BORDER : x + BORDER + WIDTH]
    inside[:] = WHITE
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    inside[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=how)
    for line, text in enumerate(words, start=1):
        _write(canvas, text, x, y + HEIGHT + 2 * BORDER + line * CAPTION - 4, 0.38 if line <= 2 else 0.31)


def _grey(image: Image) -> Image:
    """Return an image without colours, and pale."""
    return np.asarray(np.repeat(160 + image.mean(axis=2, keepdims=True) * 0.35, 3, axis=2).clip(0, 255), np.uint8)


def _write(canvas: Image, text: str, x: int, y: int, size: float = 0.38) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
