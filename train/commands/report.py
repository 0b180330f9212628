"""`dsa-train report`: the last measures, and the files of a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from .. import report as reports
from ..evaluation.config import EvaluateConfig
from ..published import published
from . import options


@click.command()
@console.with_settings()
@click.option("--mean", "files", multiple=True, type=options.FILE, help="The mean of these metrics.json, one a split.")
def report(settings: Settings, files: tuple[Path, ...]) -> None:
    """Print the last measures again, and where the files are."""
    artifacts = console.artifacts(settings.dataset)
    options.check_dataset(settings.dataset)
    metrics = reports.mean_of(files) if files else reports.read(artifacts / "metrics.json")
    # metrics.json says which run it is of; one of an earlier version is taken for that of the settings
    made = metrics.get("settings") or {}
    match = made.get("match", settings.section("evaluate", EvaluateConfig).match)
    experiment = made.get("experiment", settings.experiment)
    rows = published(settings.dataset, experiment, match, metrics.get("protocol", ""))
    click.echo(reports.table(metrics, settings.dataset, rows))
    for line in () if files else reports.made(artifacts, options.run_folder(settings)):
        click.echo(line)
