"""What `dsa-train evaluate` evaluates: a run, or features and distances of any program."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError

from ..evaluation.config import EvaluateConfig, Match
from . import options

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..evaluation.retrieval import Side
    from ..evaluation_stage import Task

FOREIGN = "features"  # stands for the dataset where features or distances are given


@dataclasses.dataclass(frozen=True)
class Given:
    """The files of another program that are evaluated, if any, and the options that go with them."""

    features: Path | None
    gallery_features: Path | None
    distances: Path | None
    labels: Path | None

    def check(self, source: Path | None, manifest: Path | None, by_view: bool) -> None:
        """Raise ConfigError for options that do not go together."""
        if self and (source or manifest or by_view):
            raise ConfigError("--run, --manifest and --views are for a run, and features or distances were given.")
        if self.features and self.distances:
            raise ConfigError("--features and --distances exclude each other. Give one.")
        if self.gallery_features and not self.features:
            raise ConfigError("--gallery-features goes with --features, the file of the queries.")
        if self.labels and not self:
            raise ConfigError("--labels goes with --features or --distances. Give the file that it labels.")

    def __bool__(self) -> bool:
        return bool(self.features or self.distances)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is evaluated: a run, or the files of another program.

    Args:
        sides: query and gallery, and the device to compare them on.
        task: of a run; None for files.
        source: the run that was named; None for the settings' own.
        title: of its row in the table.
        views: degrees of query and gallery, if asked for.
    """

    sides: tuple[Side, Side, torch.device]
    config: EvaluateConfig
    title: str
    task: Task | None = None
    source: Path | None = None
    views: tuple[np.ndarray, np.ndarray] | None = None


def subject_of_run(
    settings: Settings, manifest: Path | None, dsap: Path | None, source: Path | None, match: Match | None, views: bool
) -> Subject:
    """Return a run of the settings' dataset, or the one that `source` names."""
    console.artifacts(settings.dataset)  # refuses a name that is a path
    config = options.evaluate_config(settings, match)
    task = options.evaluation_task(settings, manifest, dsap, source)

    from .. import evaluation_stage

    angles = evaluation_stage.view_angles(task) if views else None  # first, since most datasets have none
    return Subject(evaluation_stage.query_and_gallery(task, config), config, settings.dataset, task, source, angles)


def subject_of_files(given: Given, settings: Settings, match: Match | None) -> Subject:
    """Return features or distances of another program."""
    config = settings.section("evaluate", EvaluateConfig)

    from ..foreign_stage import foreign_config, foreign_sides

    config = dataclasses.replace(config, match=match or config.match)
    config = foreign_config(config, given.distances is not None)
    sides = foreign_sides(given.features, given.gallery_features, given.distances, given.labels, config)
    return Subject(sides, config, (given.features or given.distances or Path(FOREIGN)).name)
