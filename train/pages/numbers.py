"""The report's main table: each measure beside chance, ceiling and the paper, with a sentence of what it means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..published import NOT_KNOWN
from .findings import Findings


@dataclasses.dataclass(frozen=True)
class Row:
    """A measure in percent, as text.

    Args:
        values: of each run.
        chance, ceiling: what random rankings show, and the best that is possible.
        papers: of each row of the paper; empty where it has no such number.
    """

    title: str
    values: Sequence[str]
    chance: str
    ceiling: str
    papers: Sequence[str]
    meaning: str


MEANINGS = {
    "rank1": ("Rank-1", "The nearest image shows the person who is searched for, in so many of 100 searches."),
    "rank5": ("Rank-5", "At least one of the five nearest images does."),
    "rank10": ("Rank-10", "At least one of the ten nearest images does."),
    "mAP": ("mAP", "How far all right images are from the top of the ranking: 100 if no wrong one is before them."),
    "mINP": ("mINP", "How soon the last right image comes, the one that is hardest to find."),
    "auc": ("AUC", "How often a pair of one person is nearer than a pair of different people."),
    "eer": (
        "Equal error rate",
        "At one threshold, so many of 100 pairs of each kind are decided wrongly. Lower is better.",
    ),
}
PERFECT = dict.fromkeys(MEANINGS, 1.0) | {"eer": 0.0}


def number_rows(runs: Sequence[Findings], ceiling: Mapping[str, float]) -> list[Row]:
    """Return the rows of the table.

    Args:
        ceiling: an upper bound of some measures, by their name in metrics.json; others have that of a perfect ranking.
    """
    chance = _chance(runs[0])
    titles = paper_titles(runs)
    return [
        Row(
            title,
            [_cell(_value(run, name)) for run in runs],
            _cell(chance[name]),
            _cell(ceiling.get(name, PERFECT[name])),
            [_published(runs, paper, name) for paper in titles],
            meaning,
        )
        for name, (title, meaning) in MEANINGS.items()
    ]


def paper_titles(runs: Sequence[Findings]) -> list[str]:
    """Return the titles of the paper's rows that stand beside any of the runs."""
    return list(dict.fromkeys(title for run in runs for title in run.papers))


def _chance(run: Findings) -> dict[str, float]:
    curve = run.chance.cmc
    ranks = {f"rank{k}": float(curve[k - 1]) for k in (1, 5, 10)}
    return ranks | {"mAP": run.chance.mAP, "mINP": run.chance.mINP, "auc": 0.5, "eer": 0.5}


def _value(run: Findings, name: str) -> float:
    return float({**run.metrics, "auc": run.pairs.auc, "eer": run.pairs.eer}[name])


def _published(runs: Sequence[Findings], title: str, name: str) -> str:
    known: Mapping[str, Any] = next(run.papers[title] for run in runs if title in run.papers)
    if name not in known:
        return ""
    value = known[name]
    return NOT_KNOWN if value is None else f"{value:.1f}"


def _cell(share: float) -> str:
    return f"{100 * share:.1f}"
