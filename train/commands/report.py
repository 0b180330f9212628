"""`dsa-train report`: the last measures, and the files of a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from .. import report as reports
from . import options


@click.command()
@console.with_settings()
@click.option("--mean", "files", multiple=True, type=options.FILE, help="The mean of these metrics.json, one a split.")
@options.json_alone
def report(settings: Settings, files: tuple[Path, ...], as_json: bool) -> None:
    """Print the last measures again, and where the files are."""
    artifacts = console.artifacts(settings.dataset)
    options.check_dataset(settings.dataset)
    metrics = reports.mean_of(files) if files else reports.read(artifacts / "metrics.json")
    if as_json:
        click.echo(json.dumps(metrics))
        return
    measured_on = (metrics.get("settings") or {}).get("dataset", settings.dataset)
    click.echo(reports.table(metrics, measured_on, *reports.papers(metrics, settings.dataset)))
    for line in () if files else reports.made(artifacts, options.run_folder(settings)):
        click.echo(line)
