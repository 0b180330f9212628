"""What is compared: runs by their experiment, runs and models by their path, and files of features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dsa_app.errors import ConfigError, TrainingError
from dsa_app.wording import shown

from ..recipes import GUIDED

FEATURES = (".npz", ".h5", ".hdf5")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model of a comparison.

    Attributes:
        title: in table and figure.
        source: the name of an experiment, the path of a run or of a model.pt, or of a file of features.
    """

    title: str
    source: str

    @property
    def is_features(self) -> bool:
        """Whether the source is a file of features."""
        return self.source.endswith(FEATURES)

    @property
    def is_experiment(self) -> bool:
        """Whether the source is the name of an experiment, which has a run of its own for each dataset."""
        return not self.is_features and not Path(self.source).exists()

    def run(self, artifacts: Path) -> Path:
        """Return the run's folder or model.pt that is measured on the dataset of `artifacts`."""
        return artifacts / "runs" / self.source if self.is_experiment else Path(self.source)


def entries(texts: Sequence[str], guided: bool = False) -> list[Entry]:
    """Return the models that texts mean, "SOURCE" or "TITLE=SOURCE".

    Args:
        guided: also each experiment with the guide on top.

    Raises ConfigError for a title that is empty or there twice, and where `guided` adds nothing, TrainingError for a
    file of features that does not exist.
    """
    found: list[Entry] = []
    for text in texts:
        title, equals, source = text.partition("=")
        source = source if equals else text
        if equals and not title:
            raise ConfigError(f"{shown(text)} has an empty title. Write TITLE={source}, or {source} alone.")
        entry = Entry(title if equals else _title(source), source)
        if entry.is_features and not Path(source).is_file():
            raise TrainingError(f"{source} does not exist. Name another file of features.")
        found.append(entry)
        if guided and entry.is_experiment and not source.endswith(GUIDED):
            found.append(Entry(entry.title + GUIDED, source + GUIDED))
    if guided and len(found) == len(texts):
        raise ConfigError(
            "--guided adds nothing here: it is for experiments without a guide, as recipes/bot. Leave it out, or name "
            "such an experiment."
        )
    titles = [entry.title for entry in found]
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        source = [entry.source for entry in found if entry.title == twice][-1]
        raise ConfigError(f"Two models have the title {twice!r}. Give one of them another: TITLE={source}")
    return found


def _title(source: str) -> str:
    path = Path(source)
    if source.endswith(FEATURES):
        return path.stem
    return path.parent.name if path.name == "model.pt" else source.rstrip("/")


def missing(runs: Sequence[tuple[str, str, Path]]) -> str:
    """Return the error for a comparison none of whose runs is finished: experiment, dataset and folder of each."""
    source, dataset, path = runs[0]
    others = f", nor has any of {len(runs) - 1} others" if len(runs) > 1 else ""
    return (
        f"No model of the comparison is trained: {path} has no model.pt{others}. Train it: dsa-train run --dataset "
        f"{dataset} --experiment {source}"
    )
