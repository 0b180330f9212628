"""Results for people: the measures as a table, chance and the paper's numbers beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsa_app.errors import TrainingError

from .ablation.ceiling import Ceiling
from .ablation.published import published
from .evaluation.config import Match
from .evaluation.metrics import Result
from .evaluation.views import Bin

COLUMNS = {
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "mAP": "mAP",
    "mINP": "mINP",
    "chance_mAP": "chance mAP",
}
COUNTS = ("queries", "queries_left_out", "gallery")
NUMBERS = (*COLUMNS, *COUNTS)
Measures = Mapping[str, Any]  # what metrics.json holds


def table(found: Measures, dataset: str, experiment: str | None = None, match: Match = "main") -> str:
    """Return the measures of metrics.json as text, in percent, the paper's below where it has any.

    Args:
        dataset, experiment, match: what was measured; None for the paper's own settings.
    """
    rows = {dataset: [f"{100 * float(found[name]):.1f}" for name in COLUMNS]}
    for title, known in published(dataset, experiment, match).items():
        rows[title] = [f"{known[name]:.1f}" if name in known else "" for name in COLUMNS]
    counted = f"{found['queries']} queries, {found['gallery']} gallery pictures"
    if found["queries_left_out"]:
        counted += f"; {found['queries_left_out']} queries have no match in another camera and do not count"
    lines = [_laid_out(list(COLUMNS.values()), rows), counted + ". Percent."]
    if found.get("protocol"):
        lines.append(f"Measured so: {found['protocol']}.")
    return "\n".join(lines)


def camera_table(pairs: Mapping[tuple[int, int], Result]) -> str:
    """Return Rank-1 and mAP in percent, a row a query camera, a column a gallery camera."""
    if not pairs:
        return "No two cameras share a person of query and gallery: there is nothing to measure between them."
    q_camids, g_camids = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    rows = {
        f"query {q}": [
            f"{100 * pairs[q, g].rank(1):.1f} {100 * pairs[q, g].mAP:.1f}" if (q, g) in pairs else "" for g in g_camids
        ]
        for q in q_camids
    }
    title = "Rank-1 and mAP between cameras, the gallery of one camera alone at a time. Percent."
    return "\n".join([title, _laid_out([f"gallery {g}" for g in g_camids], rows)])


def camera_measures(pairs: Mapping[tuple[int, int], Result]) -> list[dict[str, float | int]]:
    """Return the measures between cameras as plain values."""
    return [
        {"query": q, "gallery": g, "rank1": one.rank(1), "mAP": one.mAP, "queries": one.queries}
        for (q, g), one in pairs.items()
    ]


def view_table(bins: Mapping[Bin, Result]) -> str:
    """Return Rank-1 and mAP in percent, a row a range of view differences."""
    rows = {
        f"{low} to {high} degrees": [f"{100 * one.rank(1):.1f}", f"{100 * one.mAP:.1f}", str(one.queries)]
        for (low, high), one in bins.items()
    }
    title = "By the angle between the views of query and answer, the person's other pictures left out. Percent."
    return "\n".join([title, _laid_out(["Rank-1", "mAP", "queries"], rows)])


def view_measures(bins: Mapping[Bin, Result]) -> list[dict[str, float | int]]:
    """Return the measures by view difference as plain values."""
    return [
        {"from": low, "to": high, "rank1": one.rank(1), "mAP": one.mAP, "queries": one.queries}
        for (low, high), one in bins.items()
    ]


def ceiling_table(found: Ceiling) -> str:
    """Return what matching true surfaces reaches, in percent, and by view difference."""
    rows = {
        name: [f"{100 * value:.1f}" for value in (one.rank(1), one.rank(5), one.rank(10), one.mAP, one.mINP)]
        for name, one in (("body", found.body), ("body and bag", found.with_bags))
    }
    shared = f"{100 * found.shared:.1f}% of right pairs show a same texel of the body."
    return "\n".join([_laid_out([*COLUMNS.values()][:5], rows), shared, view_table(found.views)])


def ceiling_measures(found: Ceiling) -> dict[str, Any]:
    """Return what matching true surfaces reaches as plain values, fractions."""
    both = {
        name: {"rank1": one.rank(1), "rank5": one.rank(5), "rank10": one.rank(10), "mAP": one.mAP, "mINP": one.mINP}
        for name, one in (("body", found.body), ("body_and_bag", found.with_bags))
    }
    return {**both, "shared": found.shared, "views": view_measures(found.views), "queries": found.body.queries}


def mean_of(files: Sequence[Path]) -> Measures:
    """Return the mean of several metrics.json, of a protocol's splits; counts are added. Raises TrainingError."""
    all_found = [read(path) for path in files]
    mean: dict[str, Any] = {
        name: sum(one[name] for one in all_found) / len(all_found)
        for name in COLUMNS  # fractions
    }
    mean |= {name: sum(one[name] for one in all_found) for name in COUNTS}
    return {**mean, "protocol": all_found[0].get("protocol", "")}


def _laid_out(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    width = max(map(len, rows)) + 2
    lines = [" " * width + "".join(f"{name:>12}" for name in columns)]
    return "\n".join(lines + [f"{name:{width}}" + "".join(f"{one:>12}" for one in row) for name, row in rows.items()])


def read(path: Path) -> dict[str, Any]:
    """Read metrics.json. Raises TrainingError if it is missing or another file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist. Measure first: dsa-train evaluate.") from None
    except ValueError:
        raise TrainingError(f"{path} is not JSON. Measure again: dsa-train evaluate.") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), (int, float)) for name in NUMBERS):
        raise TrainingError(f"{path} does not hold the measures. Measure again: dsa-train evaluate.")
    return found


def made(artifacts: Path, run: Path) -> list[str]:
    """Return the files of a dataset and a run that are there, each with what it is."""
    known = {
        artifacts / "manifest.csv": "every picture: who, where, digest",
        artifacts / "iuv.h5": "I, U, V maps",
        artifacts / "dsap.h5": "part pictures",
        run / "checkpoint.pt": "both streams, and all that training goes on with",
        run / "model.pt": "the main stream alone: dsa_reid.load reads it",
        run / "live": "losses by epoch, DVCLive's",
        artifacts / "metrics.json": "the measures",
        artifacts / "cmc.json": "the CMC curve",
    }
    return [f"{path!s:60} {what}" for path, what in known.items() if path.exists()]
