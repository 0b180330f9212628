"""Results for people: the measures as a table, chance beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from data.errors import TrainingError

from .experiments import ROWS

COLUMNS = {
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "mAP": "mAP",
    "mINP": "mINP",
    "chance_mAP": "chance mAP",
}


def table(found: Mapping[str, float], title: str, experiment: str | None = None, match: str = "main") -> str:
    """Return the measures of metrics.json as text, in percent.

    Args:
        title: of the row.
        experiment, match: put the paper's row below, where it has one of that name.
    """
    rows = {title: [f"{100 * found[name]:.1f}" for name in COLUMNS]}
    for row in ROWS:
        if (row.experiment, row.match) == (experiment, match):
            known = {"rank1": row.rank1, "mAP": row.mAP}
            rows["the paper, Market-1501"] = [f"{known[name]:.1f}" if name in known else "" for name in COLUMNS]
            break
    width = max(map(len, rows)) + 2
    lines = [" " * width + "".join(f"{name:>12}" for name in COLUMNS.values())]
    lines += [f"{name:{width}}" + "".join(f"{value:>12}" for value in values) for name, values in rows.items()]
    counted = f"{found['queries']} queries, {found['gallery']} gallery pictures"
    if found["queries_left_out"]:
        counted += f"; {found['queries_left_out']} queries have no match in another camera and do not count"
    return "\n".join([*lines, counted + ". Percent."])


def read(path: Path) -> dict[str, float]:
    """Read metrics.json. Raises TrainingError if it is missing or another file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist. Measure first: dsa-train evaluate.") from None
    except ValueError:
        raise TrainingError(f"{path} is not JSON. Measure again: dsa-train evaluate.") from None
    if not isinstance(found, dict) or not {*COLUMNS, "queries", "queries_left_out", "gallery"} <= found.keys():
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
