"""What an ablation trains: every row's experiment from every seed, and where each is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt

from dsa_app.config import Settings, config, override
from dsa_app.errors import TrainingError

from ..config import TrainConfig
from .rows import EVERY_ROW, MAIN


@config
class AblationConfig:
    """What is trained; section "ablation" of a params file.

    Attributes:
        seeds: of every training: 0, 1, … .
        main_seeds: of the main comparison (two branches, the paper's scheme, a guide that teaches) and the controls.
        experiments: only these; all that `dsa-train experiments` lists by default.
        curve: experiments that are also trained on semantics with other rates of errors (rendered maps only).
        rates: those rates, as `extract.errors.rate`.
        curve_seeds: of each point of the curve.
        changes: by experiment, settings that replace those of its file: numbers written for a longer run.
        keep: keep the checkpoints of finished trainings, and not their models alone.
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
        settings: all of it.
        rate: of the estimator's errors, on a curve; None for those of the settings.
    """

    experiment: str
    seed: int
    settings: Settings
    rate: float | None = None

    @property
    def name(self) -> str:
        """What its results are kept under."""
        return self.experiment if self.rate is None else f"{self.experiment}-rate-{self.rate:g}"

    @property
    def train(self) -> TrainConfig:
        """How it is trained."""
        return dataclasses.replace(self.settings.section("train", TrainConfig), seed=self.seed)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the dataset and all that is made of it lie."""

    made: Path
    root: Path

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.made / "manifest.csv"

    def run(self, training: Training) -> Path:
        """The folder of a training."""
        return self.made / "ablation" / "runs" / training.name / str(training.seed)

    def result(self, training: Training) -> Path:
        """The file of what a training gave."""
        return self.made / "ablation" / "results" / training.name / f"{training.seed}.json"


def trainings(base: Settings, wanted: AblationConfig) -> list[Training]:
    """Return all trainings, first seeds first, so that an unfinished run has every row.

    Raises TrainingError for an experiment that no row is trained by.
    """
    names = list(dict.fromkeys(row.experiment for row in EVERY_ROW))
    unknown = sorted({*wanted.experiments, *wanted.curve, *wanted.changes} - set(names))
    if unknown:
        raise TrainingError(f"No row is trained by {unknown[0]!r}. Known: {', '.join(names)}.")
    settings = {name: _of(base, name, wanted.changes.get(name, ())) for name in names}
    chosen = [name for name in names if not wanted.experiments or name in wanted.experiments]
    found = []
    for seed in range(max(wanted.seeds, wanted.main_seeds)):
        found += [
            Training(name, seed, settings[name])
            for name in chosen
            if seed < (wanted.main_seeds if name in MAIN else wanted.seeds)
        ]
        for rate in wanted.rates if seed < wanted.curve_seeds else ():
            found += [Training(name, seed, _at_rate(settings[name], rate), rate) for name in wanted.curve]
    return found


def _of(base: Settings, experiment: str, changes: Sequence[str]) -> Settings:
    settings = base.changed_by(experiment)
    return dataclasses.replace(settings, sections=override(settings.sections, changes))


def _at_rate(settings: Settings, rate: float) -> Settings:
    return dataclasses.replace(settings, sections=override(settings.sections, [f"extract.errors.rate={rate}"]))
