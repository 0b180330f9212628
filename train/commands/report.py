"""`dsa-train report`: the last measures and the files of a dataset; and runs as one page for a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError

from .. import report as reports
from ..evaluation.config import Match
from . import options

if TYPE_CHECKING:
    from ..pages.stage import Written


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=options.FILE)
@console.with_settings()
@options.data
@click.option("--match", type=options.MATCHES, help="The feature that is compared. [main]")
@click.option("--mean", "files", multiple=True, type=options.FILE, help="The mean of these metrics.json, one a split.")
@click.option("--html", "with_page", is_flag=True, help="Write the page of the settings' run too.")
@click.option("--iuv", type=options.FILE, help="The maps that the page counts. [artifacts/<dataset>/iuv.h5]")
@click.option("--out", type=console.OUTPUT, help="The page. [artifacts/<dataset>/report.html]")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Best, worst and further queries on the page.",
)
@click.option(
    "--top", "length", type=click.IntRange(1), default=10, show_default=True, help="Gallery images per query."
)
@options.json_alone
def report(
    runs: tuple[Path, ...],
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    match: Match | None,
    files: tuple[Path, ...],
    with_page: bool,
    iuv: Path | None,
    out: Path | None,
    count: int,
    length: int,
    as_json: bool,
) -> None:
    """Print the last measures again, and where the files are.

    With one RUN or more, or with --html: measure them, and write one HTML page that shows them side by side. The page
    needs no network and no server. Its figures are written as PNGs too.
    """
    artifacts = console.artifacts(settings.dataset)
    options.check_dataset(settings.dataset)
    if files and (runs or with_page):
        raise ConfigError("--mean prints a mean, and a page shows runs. Leave out --mean, or RUN and --html.")
    if (out or iuv) and not (runs or with_page):
        raise ConfigError("--out and --iuv are of the page. Name a run, or add --html.")
    if runs:
        written = _page(settings, manifest, dsap, match, runs, iuv, out, count, length)
        _print(written, settings.dataset, as_json)
        return
    metrics = reports.mean_of(files) if files else reports.read(artifacts / "metrics.json")
    if as_json:
        click.echo(json.dumps(metrics))
    else:
        measured_on = (metrics.get("settings") or {}).get("dataset", settings.dataset)
        click.echo(reports.table(metrics, measured_on, *reports.papers(metrics, settings.dataset)))
        for line in () if files else reports.made(artifacts, options.run_folder(settings)):
            click.echo(line)
    if with_page:
        written = _page(settings, manifest, dsap, match, (), iuv, out, count, length)
        click.echo(written.page, err=as_json)


def _page(
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    match: Match | None,
    runs: Sequence[Path],
    iuv: Path | None,
    out: Path | None,
    count: int,
    length: int,
) -> Written:
    """Write the page of the runs that are named, or of the settings' own."""
    artifacts = console.artifacts(settings.dataset)
    config = options.evaluate_config(settings, match)
    tasks = [options.evaluation_task(settings, manifest, dsap, source) for source in runs or (None,)]

    from ..pages.stage import write_report

    return write_report(tasks, config, iuv or artifacts / "iuv.h5", out or artifacts / "report.html", count, length)


def _print(written: Written, dataset: str, as_json: bool) -> None:
    """Print the measures of runs, a table each, and the page last."""
    if as_json:
        measures: dict[str, Any] = {run.name: dict(run.metrics) for run in written.runs}
        about = {"page": str(written.page), "figures": [str(path) for path in written.figures]}
        click.echo(json.dumps({"runs": measures, **about}))
        return
    for run in written.runs:
        click.echo(run.source)
        click.echo(reports.table(run.metrics, dataset, run.papers, run.without))
    click.echo(written.page)
