"""`dsa-train rank`: rankings of single queries as images."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.row_files import check_rows_file

from ..evaluation.config import Match
from . import options


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@console.with_settings()
@options.data
@options.network
@click.option(
    "--count", type=click.IntRange(1), default=10, show_default=True, help="Of best and worst, without a KEY."
)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Gallery images per query.")
@click.option("--rankings", type=console.OUTPUT, help="Write them as rows too: .csv, .json or .parquet.")
@click.option("--out", type=options.FILE, help="Folder. [artifacts/<dataset>/rankings]")
def rank(
    keys: tuple[str, ...],
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    source: Path | None,
    match: Match | None,
    count: int,
    top: int,
    rankings: Path | None,
    out: Path | None,
) -> None:
    """Render the rankings of the best and the worst queries.

    With one KEY or more, as the manifest lists them: of these queries. Correct matches are framed in green, false ones
    in red.
    """
    if rankings:
        check_rows_file(rankings, "--rankings")
    config = options.evaluate_config(settings, match)
    task = options.evaluation_task(settings, manifest, dsap, source)

    from ..ranking_stage import write_rankings

    folder = out or console.artifacts(settings.dataset) / "rankings"
    for path in write_rankings(task, config, keys, count, top, folder, rankings):
        click.echo(path)
