"""The rows of the paper's Tables 3, 4 and 5: how each is trained and matched, and what was published of it.

Beside them the controls that the paper did not print, and what goes beyond it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ..evaluation.config import Match


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        table: of the paper, or "control", "beyond".
        title: the row's, in the paper's words where it is one of the paper's.
        experiment: the file in experiments/ that it is trained by.
        match: what is compared.
        mAP, rank1: published for Market-1501, in percent; None for what was not.
    """

    table: int | str
    title: str
    experiment: str
    match: Match
    mAP: float | None = None  # noqa: N815 - the field's name
    rank1: float | None = None


DSA, TWO_BRANCHES, TAUGHT = "table3/dsa-reid", "table3/two-branches", "beyond/taught"
ROWS = (
    Row(3, "Baseline", "table3/baseline", "main", 76.4, 91.2),
    Row(3, "Baseline + RE", "table3/baseline-re", "main", 78.6, 92.3),
    Row(3, "Baseline + RE + LS", "table3/baseline-re-ls", "main", 81.2, 93.4),
    Row(3, "Two branches", "table3/two-branches", "main", 83.4, 94.0),
    Row(3, "Global (Single)", "table3/global-single", "main", 84.7, 94.8),
    Row(3, "Local (Single)", "table3/local-single", "main", 83.2, 94.0),
    Row(3, "Global (Joint)", DSA, "global", 87.4, 95.6),
    Row(3, "Local (Joint)", DSA, "local", 86.5, 95.2),
    Row(3, "Two streams fused", DSA, "fused", 87.5, 95.8),
    Row(3, "Only MF-Stream", DSA, "main", 87.6, 95.7),
    Row(4, "CSA", "table4/csa", "main", 84.1, 94.1),
    Row(4, "DSA", DSA, "main", 87.6, 95.7),
    Row(5, "Concatenation + fc", "table5/concatenation", "main", 81.6, 93.0),
    Row(5, "Elem-add", DSA, "main", 87.6, 95.7),
)
FURTHER_ROWS = (
    Row("control", "Guide fed nothing", "controls/nothing", "main"),
    Row("control", "Guide fed another's", "controls/another", "main"),
    Row("control", "Losses without guide", "controls/no-guide", "main"),
    Row("beyond", "Own triplets", "beyond/own-losses", "main"),
    Row("beyond", "Guide faded out", "beyond/faded", "main"),
    Row("beyond", "Charts dropped", "beyond/dropped-charts", "main"),
    Row("beyond", "Streams apart, taught", "beyond/apart", "main"),
    Row("beyond", "Guide teaches", TAUGHT, "main"),
    Row("beyond", "Guide teaches, fused", TAUGHT, "fused"),
)
EVERY_ROW = ROWS + FURTHER_ROWS
MAIN = {DSA, TWO_BRANCHES, TAUGHT, *(row.experiment for row in FURTHER_ROWS if row.table == "control")}
"""The main comparison and the controls, which get more seeds."""


def result_file(artifacts: Path, experiment: str, match: Match) -> Path:
    """Return where the result of one trained network, matched in one way, is kept."""
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
            found = json.loads(file.read_text(encoding="utf-8"))
            measured = f"{100 * found['mAP']:.1f} {100 * found['rank1']:.1f}"
        paper = f"{row.mAP:6.1f}{row.rank1:8.1f}" if row.mAP is not None else " " * 14
        table_ = f"Table {row.table}" if isinstance(row.table, int) else row.table
        lines.append(f"{table_:8}{row.title:22}{paper}{measured:>16}   {row.experiment} {row.match}")
    return "\n".join(lines)
