"""Options that several commands of `dsa-train` have, and the files that they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError, TrainingError
from dsap.config import WarpConfig

from ..evaluation.config import EvaluateConfig, Match
from ..published import PLAIN
from ..stopping import StoppedError

if TYPE_CHECKING:
    from ..evaluation_stage import Task

NAMED = 3  # other runs that an error names; the rest are counted
FILE = click.Path(path_type=Path)
MATCHES = click.Choice(get_args(Match))

device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
model = click.option("--model", type=FILE, help="The model. [artifacts/<dataset>/runs/<experiment>/model.pt]")
model_dataset = click.option(
    "--dataset", shell_complete=console.datasets, help="The dataset of the model, if --model is not given."
)
model_experiment = click.option(
    "--experiment",
    default=PLAIN,
    show_default=True,
    shell_complete=console.experiments,
    help="The experiment of the model.",
)
json_alone = console.json_alone


def data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --manifest and --dsap."""
    command = click.option("--dsap", type=FILE, help="The DSAP store. [artifacts/<dataset>/dsap.h5]")(command)
    return click.option("--manifest", type=FILE, help="The manifest. [artifacts/<dataset>/manifest.csv]")(command)


def network(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --run and --match."""
    command = click.option("--match", type=MATCHES, help="The feature that is compared. [main]")(command)
    return click.option("--run", "source", type=FILE, help="A run's folder, or a model.pt.")(command)


def check_dataset(name: str) -> None:
    """Raise DatasetError for an unknown dataset of which there are no results either."""
    if console.artifacts(name).is_dir():
        return
    from dsa_data.sets import dataset

    dataset(name)


def run_name(settings: Settings) -> str:
    """Return the name of the run that the settings mean."""
    return settings.experiment or PLAIN


def run_folder(settings: Settings) -> Path:
    """Return the folder of the run that the settings mean."""
    return console.artifacts(settings.dataset) / "runs" / run_name(settings)


def existing(path: Path, remedy: str) -> Path:
    """Return a path. Raises TrainingError, before anything slow is imported, if it does not exist."""
    if not path.exists():
        raise TrainingError(f"{path} does not exist. {remedy}")
    return path


def existing_manifest(settings: Settings, manifest: Path | None) -> Path:
    """Return the manifest: the one named, or the dataset's. Raises TrainingError if it does not exist."""
    path = manifest or console.artifacts(settings.dataset) / "manifest.csv"
    return existing(path, "List the images first: dsa-data prepare.")


def existing_run(settings: Settings, source: Path | None) -> Path:
    """Return the run: the one named, or that of the settings. Raises TrainingError if it does not exist."""
    if source is None and not run_folder(settings).exists() and (other := other_runs(settings.dataset)):
        command = click.get_current_context().info_name
        raise TrainingError(
            f"{run_folder(settings)} does not exist, but {_listed(other)}. Use one: dsa-train {command} --run "
            f"{other[0]}; or train first: dsa-train run."
        )
    run = source or run_folder(settings)
    folder = run.parent if run.name == "model.pt" else run
    if not (folder / "model.pt").exists() and (kept := _kept(folder)):
        command = click.get_current_context().info_name
        raise TrainingError(
            f"{run} has no model.pt, but a run of other settings is kept as {kept}. Use it: dsa-train {command} --run "
            f"{kept}; or train: dsa-train run."
        )
    if source is not None:
        if source.is_dir() and not any((source / name).exists() for name in ("model.pt", "checkpoint.pt")):
            raise TrainingError(f"{source} is no run: it has no model.pt. Name the folder of a run, or its model.pt.")
        return existing(source, "Name another run: --run RUN")
    return existing(run, "Train first: dsa-train run; or name a run: --run.")


def _kept(run: Path) -> Path | None:
    """Return the newest finished run that was moved aside from a folder; None if there is none."""
    models = run.with_name(run.name + ".kept").glob("*/model.pt") if run.name else []
    newest = max(models, key=lambda model: model.stat().st_mtime, default=None)
    return newest.parent if newest else None


def other_runs(dataset: str) -> list[Path]:
    """Return a dataset's finished runs, the newest first."""
    runs = [path.parent for path in (console.artifacts(dataset) / "runs").rglob("model.pt")]
    # those that a run of other settings has moved aside come last
    return sorted(runs, key=lambda run: (".kept" in run.parent.name, -(run / "model.pt").stat().st_mtime))


def _listed(runs: list[Path]) -> str:
    names = ", ".join(str(run) for run in runs[:NAMED])
    if len(runs) == 1:
        return f"there is another run, {names}"
    return f"there are other runs, {names}" + (f" and {len(runs) - NAMED} more" if len(runs) > NAMED else "")


def existing_model(path: Path | None, dataset: str | None, experiment: str) -> Path:
    """Return the model file: the one named, or that of a dataset's experiment.

    Raises ConfigError if neither is named, TrainingError if the file does not exist.
    """
    if path is None and not dataset:
        raise ConfigError("No model was named. Name one: --model FILE.")
    named = path or console.artifacts(str(dataset)) / "runs" / experiment / "model.pt"
    if not named.exists() and named.name == "model.pt" and (kept := _kept(named.parent)):
        raise TrainingError(
            f"{named} does not exist, but a run of other settings is kept as {kept}. Name its model: --model "
            f"{kept / 'model.pt'}; or train again."
        )
    if path is not None:
        if path.is_dir():
            raise TrainingError(f"{path} is a folder. Name the model in it, or another: --model FILE.")
        return existing(path, "Name another model: --model FILE.")
    check_dataset(str(dataset))
    own = console.artifacts(str(dataset)) / "runs" / experiment / "model.pt"
    train = "dsa-train run --dataset " + str(dataset) + ("" if experiment == PLAIN else f" --experiment {experiment}")
    if not own.exists() and (other := other_runs(str(dataset))):
        raise TrainingError(
            f"{own} does not exist, but {_listed(other)}. Name its model: --model {other[0] / 'model.pt'}; or train "
            f"first: {train}."
        )
    return existing(own, f"Train first: {train}; or name a model: --model FILE.")


def evaluation_task(settings: Settings, manifest: Path | None, dsap: Path | None, source: Path | None) -> Task:
    """Return what `evaluate` and `rank` evaluate. Raises TrainingError for a manifest or run that does not exist."""
    warp = settings.section("warp", WarpConfig)
    artifacts = console.artifacts(settings.dataset)
    manifest = existing_manifest(settings, manifest)
    run = existing_run(settings, source)
    name = source.stem if source else run_name(settings)

    from dsa_data.sets import dataset_root

    from ..evaluation_stage import Task

    root = dataset_root(settings.dataset)
    return Task(
        manifest, root, dsap or artifacts / "dsap.h5", run, warp, artifacts / "features" / name, settings.dataset
    )


def evaluate_config(settings: Settings, match: Match | None) -> EvaluateConfig:
    """Return the settings of the evaluation, with the protocol of the dataset."""
    config = settings.section("evaluate", EvaluateConfig)

    from dsa_data.sets import dataset

    gallery = dataset(settings.dataset).gallery if config.gallery == "auto" else config.gallery
    return dataclasses.replace(config, gallery=gallery, match=match or config.match)


@contextmanager
def exit_when_stopped() -> Iterator[None]:
    """Exit with 128 + the signal's number, as a shell expects, where a signal stopped the work."""
    try:
        yield
    except StoppedError as stopped:
        click.echo(str(stopped), err=True)
        raise SystemExit(128 + stopped.number) from None
