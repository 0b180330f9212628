"""What is compared: runs by their experiment, runs and models by their path, and files of features."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dsa_app.errors import ConfigError, TrainingError
from dsa_app.wording import shown

from ..recipes import GUIDED

FEATURES = (".npy", ".npz", ".h5", ".hdf5", ".mat", ".pth")  # and .pt, unless it is a model
MODEL, CHECKPOINT = "model.pt", "checkpoint.pt"  # of a run
BETWEEN = ","  # two files, the queries' features and the gallery's


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model of a comparison.

    Attributes:
        title: in table and figure.
        source: the name of an experiment, the path of a run or of a model.pt, or of a file or folder of features, or
            "QUERY,GALLERY" of two.
        labels: the CSV of the labels of features.
    """

    title: str
    source: str
    labels: Path | None = None

    @property
    def is_features(self) -> bool:
        """Whether the source is a file or folder of features, or two."""
        return all(map(_is_features, self.paths))

    @property
    def paths(self) -> list[Path]:
        """The path of the source, or those of the queries' features and the gallery's."""
        pair = self.source.split(BETWEEN)
        return [Path(self.source)] if Path(self.source).exists() or len(pair) != 2 else list(map(Path, pair))

    @property
    def is_experiment(self) -> bool:
        """Whether the source is the name of an experiment, which has a run of its own for each dataset."""
        return not self.is_features and not Path(self.source).exists()

    def run(self, artifacts: Path) -> Path:
        """Return the run's folder or model.pt that is measured on the dataset of `artifacts`."""
        return artifacts / "runs" / self.source if self.is_experiment else Path(self.source)


def entries(texts: Sequence[str], guided: bool = False, labels: Sequence[str] = ()) -> list[Entry]:
    """Return the models that texts mean, "SOURCE" or "TITLE=SOURCE".

    Args:
        guided: also each experiment with the guide on top.
        labels: the labels of features: "CSV" of all of them, "TITLE=CSV" of one.

    Raises ConfigError for a title that is empty or there twice, where `guided` adds nothing, and for labels of what is
    no model, TrainingError for a file of features that does not exist.
    """
    found: list[Entry] = []
    for text in texts:
        title, equals, source = text.partition("=")
        source = source if equals else text
        if equals and not title:
            raise ConfigError(f"{shown(text)} has an empty title. Write TITLE={source}, or {source} alone.")
        entry = Entry(title if equals else _title(source), source)
        if entry.is_features and (lost := [path for path in entry.paths if not path.exists()]):
            raise TrainingError(f"{lost[0]} does not exist. Name another file of features.")
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
    return _labelled(found, labels)


def _labelled(found: Sequence[Entry], labels: Sequence[str]) -> list[Entry]:
    """Return the models with the tables of their labels. Raises ConfigError for a table of what is no features."""
    titles = {entry.title for entry in found if entry.is_features}
    tables: dict[str, Path] = {}
    for text in labels:
        title, equals, table = text.partition("=")
        known = equals and title in titles
        if equals and not known and not Path(text).is_file():
            raise ConfigError(
                f"--labels {text}: {title!r} is not the title of features ({', '.join(sorted(titles)) or 'none'})."
            )
        tables[title if known else ""] = Path(table if known else text)
    if tables and not titles:
        raise ConfigError("--labels is for files of features, and no model is one. Leave it out.")
    return [
        dataclasses.replace(entry, labels=tables.get(entry.title, tables.get(""))) if entry.is_features else entry
        for entry in found
    ]


def _is_features(path: Path) -> bool:
    """Return whether a path is a file of features by its suffix, or what is there: no model, no run."""
    if path.is_dir():
        return not any((path / name).exists() for name in (MODEL, CHECKPOINT)) and any(path.glob("*.npy"))
    if path.suffix == ".pt":
        return path.is_file() and path.name != MODEL and not _is_model(path)
    return path.suffix in FEATURES


def _is_model(path: Path) -> bool:
    """Return whether a .pt names the format of our models in its pickle, whose code is not run."""
    from dsa_reid.model import FORMAT

    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith("/data.pkl"))
            return FORMAT.encode() in archive.read(name)
    except (OSError, ValueError, zipfile.BadZipFile):
        return False  # of another program, or damaged: its reader says which


def _title(source: str) -> str:
    path = Path(source)
    if source.endswith(FEATURES):
        return path.stem
    return path.parent.name if path.name == MODEL else source.rstrip("/")


def missing(runs: Sequence[tuple[str, str, Path]]) -> str:
    """Return the error for a comparison none of whose runs is finished: experiment, dataset and folder of each."""
    source, dataset, path = runs[0]
    others = f", nor has any of {len(runs) - 1} others" if len(runs) > 1 else ""
    return (
        f"No model of the comparison is trained: {path} has no model.pt{others}. Train it: dsa-train run --dataset "
        f"{dataset} --experiment {source}"
    )
