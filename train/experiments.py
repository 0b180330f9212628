"""The rows of the paper's Tables 3, 4 and 5: how each is trained and matched, and what was published of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .config import Match


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        table: of the paper.
        title: the row's, in the paper's words.
        experiment: the file in experiments/ that it is trained by.
        match: what is compared.
        mAP, rank1: published for Market-1501, in percent.
    """

    table: int
    title: str
    experiment: str
    match: Match
    mAP: float  # noqa: N815 - the field's name
    rank1: float


DSA = "table3/dsa-reid"
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


def result_file(artifacts: Path, experiment: str, match: Match) -> Path:
    """Return where the result of one trained network, matched in one way, is kept."""
    return artifacts / "results" / experiment / f"{match}.json"


def table(artifacts: Path) -> str:
    """Return all rows as text, with the paper's numbers and those measured here, read from `artifacts`."""
    lines = [
        "Published for Market-1501; measured here on the dataset of " + str(artifacts) + ".",
        f"{'':8}{'row':20}{'mAP':>6}{'Rank-1':>8}{'measured':>16}   --experiment, --match",
    ]
    for row in ROWS:
        file = result_file(artifacts, row.experiment, row.match)
        measured = "not yet"
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            measured = f"{100 * found['mAP']:.1f} {100 * found['rank1']:.1f}"
        lines.append(
            f"Table {row.table} {row.title:20}{row.mAP:6.1f}{row.rank1:8.1f}{measured:>16}   "
            f"{row.experiment} {row.match}"
        )
    return "\n".join(lines)
