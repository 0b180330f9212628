"""The paper's numbers, in percent, beside which those measured here are put."""

from __future__ import annotations

from collections.abc import Mapping

from ..evaluation.config import Match
from .rows import DSA, ROWS

# By the paper, of the full model matched on (f_G, f_L); Market-1501's, row by row, are in `experiments.ROWS`
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

    Those of the dataset, if the paper measured the experiment on it, else Market-1501's; none where it did neither.
    """
    experiment = experiment or DSA  # without an experiment a command stands on the paper's values
    if dataset in OTHER_DATASETS:
        return OTHER_DATASETS[dataset] if (experiment, match) == (DSA, "main") else {}
    for row in ROWS:
        if (row.experiment, row.match) == (experiment, match) and row.mAP is not None and row.rank1 is not None:
            return {"the paper, Market-1501": {"rank1": row.rank1, "mAP": row.mAP}}
    return {}
