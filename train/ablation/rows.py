"""Every row of an ablation: those of the paper's tables, the controls, and what goes beyond the paper."""

from __future__ import annotations

import json
from pathlib import Path

from dsa_app.errors import TrainingError
from dsa_app.guard import guarded

from ..evaluation.config import Match
from ..published import DSA, ROWS, TWO_BRANCHES, Row

DISTILLED = "beyond/taught"
FURTHER_ROWS = (
    Row("control", "Guide fed nothing", "controls/nothing", "main"),
    Row("control", "Guide fed another's", "controls/another", "main"),
    Row("control", "Losses without guide", "controls/no-guide", "main"),
    Row("beyond", "Own triplets", "beyond/own-losses", "main"),
    Row("beyond", "Guide faded out", "beyond/faded", "main"),
    Row("beyond", "Charts dropped", "beyond/dropped-charts", "main"),
    Row("beyond", "Streams apart, taught", "beyond/apart", "main"),
    Row("beyond", "Guide teaches", DISTILLED, "main"),
    Row("beyond", "Guide teaches, fused", DISTILLED, "fused"),
)
EVERY_ROW = ROWS + FURTHER_ROWS
MAIN = {DSA, TWO_BRANCHES, DISTILLED, *(row.experiment for row in FURTHER_ROWS if row.table == "control")}
"""Experiments of the main comparison and of the controls, which are trained from more seeds."""


def result_file(artifacts: Path, experiment: str, match: Match) -> Path:
    """Return the file of the result of one trained network by one match."""
    return artifacts / "results" / experiment / f"{match}.json"


def table(artifacts: Path) -> str:
    """Return all rows as text, with the paper's numbers and those measured here, read from `artifacts`."""
    lines = [
        "Published for Market-1501; measured here on the dataset of " + str(artifacts) + ".",
        f"{'':8}{'row':22}{'mAP':>6}{'Rank-1':>8}{'measured':>16}   --experiment, --match",
    ]
    for row in EVERY_ROW:
        file = result_file(artifacts, row.experiment, row.match)
        measured = "not yet"
        if file.exists():
            with guarded(
                TrainingError, file, "is not a result of an evaluation", "Evaluate again: dsa-train evaluate."
            ):
                result = json.loads(file.read_text(encoding="utf-8"))
                measured = f"{100 * float(result['mAP']):.1f} {100 * float(result['rank1']):.1f}"
        paper = f"{row.mAP:6.1f}{row.rank1:8.1f}" if row.mAP is not None else " " * 14
        table_ = f"Table {row.table}" if isinstance(row.table, int) else row.table
        lines.append(f"{table_:8}{row.title:22}{paper}{measured:>16}   {row.experiment} {row.match}")
    return "\n".join(lines)
