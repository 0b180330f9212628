"""The paper's numbers, in percent: the rows of its Tables 3, 4 and 5, and its results on other datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .evaluation.config import SINGLE_SHOT, Match
from .recipes import DATASETS, EXACT, EXPERIMENTS, recipe_of

PLAIN = "paper"  # the run of the paper's hyper-parameters, where no experiment is named
NOT_KNOWN = "–"  # in a table: the paper prints a number that is not known here


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        table: its number in the paper, or "control", "beyond", "regions" for rows that the paper does not have.
        title: of the row, as the paper prints it where it has it.
        experiment: the file in experiments/ with the settings of its training.
        match: the feature that is compared.
        mAP, rank1, rank5, rank10: published for Market-1501, in percent; None if not known here: Rank-5 and Rank-10 of
            Tables 3 to 5 are to be filled in from a copy of the paper.
    """

    table: int | str
    title: str
    experiment: str
    match: Match
    mAP: float | None = None  # noqa: N815 - the field's name
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None

    @property
    def published(self) -> dict[str, float | None]:
        """The paper's measures by their name in metrics.json, None where not known here; empty for a further row."""
        known = {"rank1": self.rank1, "rank5": self.rank5, "rank10": self.rank10, "mAP": self.mAP}
        return known if isinstance(self.table, int) else {}


DSA, TWO_BRANCHES = "table3/dsa-reid", "table3/two-branches"
REGIONS = "regions/own"
REGION_CONTROLS = ("regions/other", "regions/template", "regions/unsupervised", "regions/stripes")
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
    Row("control", "Guide by average map", "controls/average-map", "main"),
    Row("control", "Losses without guide", "controls/no-guide", "main"),
    Row("beyond", "Own triplets", "beyond/own-losses", "main"),
    Row("beyond", "Guide faded out", "beyond/faded", "main"),
    Row("beyond", "Charts dropped", "beyond/dropped-charts", "main"),
    Row("beyond", "Distillation, apart", "beyond/apart", "main"),
    Row("beyond", "Distillation", "beyond/taught", "main"),
    Row("beyond", "Distillation, fused", "beyond/taught", "fused"),
    Row("regions", "Regions", REGIONS, "main"),
    Row("regions", "Regions, others' maps", "regions/other", "main"),
    Row("regions", "Mean regions", "regions/template", "main"),
    Row("regions", "Free attention", "regions/unsupervised", "main"),
    Row("regions", "Stripes", "regions/stripes", "main"),
    Row("regions", "Two levels", "regions/two-levels-own", "main"),
    Row("regions", "Two levels, others'", "regions/two-levels-other", "main"),
    Row("regions", "Two levels, mean", "regions/two-levels-template", "main"),
    Row("regions", "Two levels, stripes", "regions/two-levels-stripes", "main"),
    Row("regions", "Two levels, average", "regions/two-levels-average", "main"),
    Row("regions", "Two levels, conv5", "regions/two-levels-conv5", "main"),
    Row("regions", "Two levels, added", "regions/two-levels-sum", "main"),
    Row("regions", "Regions and stripes", "regions/with-stripes", "main"),
    Row("regions", "Head attached", "regions/attached", "main"),
    Row("regions", "Head not fitted", "regions/unfitted", "main"),
    Row("regions", "Losses of the parts", "regions/parts", "main"),
    Row("regions", "Two levels, of parts", "regions/two-levels-parts", "main"),
    Row("regions", "Of parts, others'", "regions/two-levels-parts-other", "main"),
    Row("regions", "Of parts, mean", "regions/two-levels-parts-template", "main"),
    Row("regions", "Of parts, average", "regions/two-levels-parts-average", "main"),
    Row("regions", "Region teacher", "regions/teacher", "main"),
    Row("regions", "Teacher, others' maps", "regions/teacher-other", "main"),
    Row("regions", "Generalised mean", "regions/gem", "main"),
    Row("regions", "Regions and guide", "regions/guided", "main"),
    Row("regions", "Guide, another's", "regions/guided-other", "main"),
    Row("regions", "Guide, own triplets", "regions/guided-own-losses", "main"),
    Row("regions", "Guide dropped", "regions/guided-dropped", "main"),
)
EVERY_ROW = ROWS + FURTHER_ROWS

TABLES_DATASET = "market1501"  # of the paper's Tables 3, 4 and 5

# Of the full model matched on (f_G, f_L), as the paper reports them; those of Market-1501 are in `ROWS`.
OTHER_DATASETS: dict[str, dict[str, dict[str, float | None]]] = {
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
SINGLE_SHOT_DATASETS = ("cuhk01",)  # there the paper samples one gallery image of each identity


def published(
    dataset: str, experiment: str | None, match: Match, protocol: str = ""
) -> Mapping[str, Mapping[str, float | None]]:
    """Return the paper's rows for a result, by title: measures by their name in metrics.json, None if not known here.

    For a recipe they are its authors' instead.

    Args:
        dataset: the result's. The paper's numbers stand beside those of its own datasets alone.
        experiment: the run's name; None for the paper's hyper-parameters.
        match: the feature that was compared.
        protocol: in words, as metrics.json has it. The paper's numbers stand beside its own protocol alone.
    """
    if not is_papers_protocol(dataset, protocol):
        return {}
    experiment = DSA if experiment is None or experiment == PLAIN else experiment
    recipe = recipe_of(experiment)
    if recipe is not None:
        found = recipe.of(dataset) if dataset in EXACT and match == "main" else None
        return {f"the authors, {DATASETS[dataset]}": dict(zip(("rank1", "mAP"), found, strict=True))} if found else {}
    if dataset in OTHER_DATASETS:
        return OTHER_DATASETS[dataset] if (experiment, match) == (DSA, "main") else {}
    for row in ROWS if dataset == TABLES_DATASET else ():
        if (row.experiment, row.match) == (experiment, match):
            return {"the paper, Market-1501": row.published}
    return {}


def is_papers_protocol(dataset: str, protocol: str) -> bool:
    """Return whether a protocol in words is the paper's: single query, no re-ranking, the gallery of the dataset."""
    parts = protocol.split("; ") if protocol else []
    sampled = [part for part in parts if part.startswith(SINGLE_SHOT)]
    return len(sampled) == len(parts) == (dataset in SINGLE_SHOT_DATASETS)


def row_experiment(run: str) -> str:
    """Return the experiment that a run is compared with: its own row's or recipe's, or the paper's full scheme."""
    return run if run in EXPERIMENTS or any(row.experiment == run for row in EVERY_ROW) else DSA
