"""The trainings of an ablation: every row's experiment from every seed, and the files of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt

from dsa_app.config import Settings, config, override, to_dict
from dsa_app.errors import DatasetError, TrainingError
from dsa_app.wording import shown
from dsap.config import WarpConfig

from .. import result_settings
from ..config import TrainConfig
from ..evaluation.config import EvaluateConfig
from ..published import EVERY_ROW
from .rows import MAIN


@config
class AblationConfig:
    """What is trained; section "ablation" of a params file.

    Attributes:
        seeds: number of seeds of every training: 0, 1, … .
        main_seeds: the same for the main comparison (two branches, the paper's scheme, distillation) and the controls.
        experiments: only these are trained; empty for all that `dsa-train experiments` lists.
        curve: experiments that are also trained on semantics with other error rates (rendered maps only).
        rates: these error rates, as `extract.errors.rate`.
        curve_seeds: number of seeds of each point of the curve.
        changes: by experiment, settings that replace those of its file, where that is written for a longer run.
        keep: keep the checkpoints of finished trainings too, and not their models alone.
    """

    seeds: PositiveInt = 3
    main_seeds: PositiveInt = 5
    experiments: tuple[str, ...] = ()
    curve: tuple[str, ...] = ()
    rates: tuple[NonNegativeFloat, ...] = ()
    curve_seeds: PositiveInt = 2
    changes: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    keep: bool = False


@dataclasses.dataclass(frozen=True)
class Training:
    """One experiment from one seed.

    Args:
        settings: of all sections.
        rate: error rate of the estimator, for a point of a curve; None for that of the settings.
    """

    experiment: str
    seed: int
    settings: Settings
    rate: float | None = None

    @property
    def name(self) -> str:
        """The name of its files."""
        return self.experiment if self.rate is None else f"{self.experiment}-rate-{self.rate:g}"

    @property
    def train(self) -> TrainConfig:
        """The settings of its training."""
        return dataclasses.replace(self.settings.section("train", TrainConfig), seed=self.seed)

    @property
    def changes(self) -> list[str]:
        """Where its settings differ from those of its row, as assignments; the errors' rate is in its name."""
        warp = to_dict(self.settings.section("warp", WarpConfig)) if self.train.network.guide else None
        maps = self.settings.sections.get("extract") if warp else None
        own = {"engine": maps["engine"]} if maps and "engine" in maps else None  # the errors' rate is in the name
        values = result_settings.of_training(to_dict(self.train), warp, own)
        values |= result_settings.of_evaluation(self.evaluation, _own_gallery(self.settings.dataset))
        return result_settings.changes(values, result_settings.of_row(self.experiment))

    @property
    def evaluation(self) -> EvaluateConfig:
        """How it is measured, with the protocol of the dataset."""
        config = self.settings.section("evaluate", EvaluateConfig)
        sampled = config.gallery == "auto" and _own_gallery(self.settings.dataset) == "single-shot"
        return dataclasses.replace(config, gallery="single-shot") if sampled else config


@dataclasses.dataclass(frozen=True)
class Folders:
    """The folders of an ablation: of a dataset's artifacts, and of its images."""

    artifacts: Path
    root: Path

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.artifacts / "manifest.csv"

    def run(self, training: Training) -> Path:
        """The folder of a training."""
        return self.artifacts / "ablation" / "runs" / training.name / str(training.seed)

    def result(self, training: Training) -> Path:
        """The file of the results of a training."""
        return self.artifacts / "ablation" / "results" / training.name / f"{training.seed}.json"


def trainings(base: Settings, wanted: AblationConfig) -> list[Training]:
    """Return all trainings, first seeds first, so that an unfinished ablation has every row.

    Raises TrainingError for an experiment of no row.
    """
    names = list(dict.fromkeys(row.experiment for row in EVERY_ROW))
    unknown = sorted({*wanted.experiments, *wanted.curve, *wanted.changes} - set(names))
    if unknown:
        raise TrainingError(f"No row has the experiment {shown(unknown[0])}. Known: {', '.join(names)}.")
    settings = {name: _of(base, name, wanted.changes.get(name, ())) for name in names}
    chosen = [name for name in names if not wanted.experiments or name in wanted.experiments]
    planned = []
    for seed in range(max(wanted.seeds, wanted.main_seeds)):
        planned += [
            Training(name, seed, settings[name])
            for name in chosen
            if seed < (wanted.main_seeds if name in MAIN else wanted.seeds)
        ]
        for rate in wanted.rates if seed < wanted.curve_seeds else ():
            planned += [Training(name, seed, _at_rate(settings[name], rate), rate) for name in wanted.curve]
    return planned


def _own_gallery(name: str) -> str:
    """Return the gallery of a dataset's own protocol; the whole one for a dataset that is given by its folders."""
    from dsa_data.sets import dataset

    try:
        return dataset(name).gallery
    except DatasetError:
        return "whole"


def _of(base: Settings, experiment: str, changes: Sequence[str]) -> Settings:
    settings = base.changed_by(experiment)
    return dataclasses.replace(settings, sections=override(settings.sections, changes))


def _at_rate(settings: Settings, rate: float) -> Settings:
    return dataclasses.replace(settings, sections=override(settings.sections, [f"extract.errors.rate={rate}"]))
