"""The paper's numbers, in percent: the rows of its Tables 3, 4 and 5, and its results on other datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .evaluation.config import Match


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        table: its number in the paper, or "control", "beyond" for rows that the paper does not have.
        title: of the row, as the paper prints it where it has it.
        experiment: the file in experiments/ with the settings of its training.
        match: the feature that is compared.
        mAP, rank1: published for Market-1501, in percent; None if not published.
    """

    table: int | str
    title: str
    experiment: str
    match: Match
    mAP: float | None = None  # noqa: N815 - the field's name
    rank1: float | None = None


DSA, TWO_BRANCHES = "table3/dsa-reid", "table3/two-branches"
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

# Of the full model matched on (f_G, f_L), as the paper reports them; those of Market-1501 are in `ROWS`.
OTHER_DATASETS: dict[str, dict[str, dict[str, float]]] = {
    "dukemtmcreid": {"the paper": {"rank1": 86.2, "mAP": 74.3}},
    "cuhk03-labeled": {"the paper": {"rank1": 78.9, "mAP": 75.2}},
    "cuhk03-detected": {"the paper": {"rank1": 78.2, "mAP": 73.1}},
    "cuhk03-np-labeled": {"the paper": {"rank1": 78.9, "mAP": 75.2}},
    "cuhk03-np-detected": {"the paper": {"rank1": 78.2, "mAP": 73.1}},
    "cuhk01": {
        "the paper": {"rank1": 88.6, "rank5": 97.1},
        "the paper, from CUHK03": {"rank1": 90.4, "rank5": 97.8},
    },
}


def published(dataset: str, experiment: str | None, match: Match) -> Mapping[str, Mapping[str, float]]:
    """Return the paper's rows for an experiment, by title: measures by their name in metrics.json.

    Those of the dataset, if the paper reports the experiment on it, else those of Market-1501; none if it reports
    neither.
    """
    experiment = experiment or DSA  # without an experiment a command uses the paper's hyper-parameters
    if dataset in OTHER_DATASETS:
        return OTHER_DATASETS[dataset] if (experiment, match) == (DSA, "main") else {}
    for row in ROWS:
        if (row.experiment, row.match) == (experiment, match) and row.mAP is not None and row.rank1 is not None:
            return {"the paper, Market-1501": {"rank1": row.rank1, "mAP": row.mAP}}
    return {}
