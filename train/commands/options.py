"""What several commands of `dsa-train` take, and where they find the run that is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from dsa_app import console
from dsa_app.config import Settings

from ..evaluation.config import Match

PLAIN = "paper"  # where a run without a named experiment is kept: it has the paper's values, and --set


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --manifest and --dsap."""
    place = click.Path(path_type=Path)
    command = click.option("--dsap", type=place, help="The DSAP store. [artifacts/<dataset>/dsap.h5]")(command)
    return click.option("--manifest", type=place, help="The manifest. [artifacts/<dataset>/manifest.csv]")(command)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --run and --match."""
    kinds = click.Choice(get_args(Match))
    command = click.option("--match", type=kinds, help="The feature. [main]")(command)
    return click.option("--run", "source", type=click.Path(path_type=Path), help="A run's folder, or a model.pt.")(
        command
    )


def run_name(settings: Settings) -> str:
    """Return the name that a run is kept under."""
    return settings.experiment or PLAIN


def run_folder(settings: Settings) -> Path:
    """Return the folder of the run that the settings speak of."""
    return console.artifacts(settings.dataset) / "runs" / run_name(settings)
