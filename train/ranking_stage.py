"""What `dsa-train rank` does: the rankings of a trained network's queries, rendered as images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsa_app.row_files import write_rows
from dsa_data.images import write_png

from .evaluation import rankings
from .evaluation.config import EvaluateConfig
from .evaluation.per_query import ranking_rows
from .evaluation_stage import Task, query_and_gallery


def write_rankings(
    task: Task,
    config: EvaluateConfig,
    keys: Sequence[str],
    count: int,
    length: int,
    folder: Path,
    rows: Path | None = None,
) -> list[Path]:
    """Write pages of rankings, a row a query, and return their paths: rank.png, or best.png and worst.png.

    Args:
        keys: of the queries; empty for the `count` best and worst by average precision.
        length: gallery images per query.
        rows: a file that the rendered rankings are written to as rows, see `row_files`.

    Raises DatasetError for a key that no query has, and what `query_and_gallery` raises.
    """
    query, gallery, device = query_and_gallery(task, config)
    ranked = rankings.rankings(query, gallery, config, device, length)
    best, worst = rankings.best_and_worst(ranked, count)
    pages = {"rank": rankings.select(ranked, keys)} if keys else {"best": best, "worst": worst}
    written = [write_png(folder / f"{name}.png", rankings.page(some, task.root)) for name, some in pages.items()]
    shown = {one.query.key: one for some in pages.values() for one in some}  # few queries may be best and worst
    return [*written, *([write_rows(rows, list(ranking_rows(list(shown.values()))))] if rows else [])]
