"""All figures of the report, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from .dataset_figures import coverage, persons
from .distance_figures import distances, reliability, roc
from .figure import Figure
from .findings import Findings
from .ranking_figures import cameras, cmc, precision
from .stores import DatasetFindings
from .training_figures import losses


def figures(runs: Sequence[Findings], dataset: DatasetFindings) -> dict[str, Figure]:
    """Return the figures of runs and of their dataset by name; those of which nothing is known are left out."""
    makers = (cmc, losses, distances, roc, reliability, cameras, precision)
    made = [maker(runs) for maker in makers] + [persons(dataset), coverage(dataset)]
    return {one.name: one for one in made if one is not None}
