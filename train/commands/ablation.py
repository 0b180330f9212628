"""`dsa-train ablation`: the paper's tables and controls with one budget."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from ..ablation.trainings import AblationConfig, Folders, trainings
from . import options


@click.command(cls=console.Resumable)
@console.with_settings()
@console.jobs("Trainings in parallel, each in its own process.")
@click.option(
    "--out",
    type=console.OUTPUT,
    help="The rows, JSON. [artifacts/<dataset>/tables.json; of some experiments tables-some.json]",
)
def ablation(settings: Settings, jobs: int, out: Path | None) -> None:
    """Train all rows of the paper's tables, and controls.

    Each is trained from several seeds, with the settings as the same budget for all rows. The same command resumes an
    interrupted ablation; finished trainings are kept.
    """
    wanted = settings.section("ablation", AblationConfig)
    todo = trainings(settings, wanted)
    artifacts = console.artifacts(settings.dataset)
    options.existing_manifest(settings, None)
    path = out or artifacts / ("tables-some.json" if wanted.experiments else "tables.json")

    from dsa_data.sets import dataset_root

    from ..ablation import figure, runner, tables, workers
    from ..evaluation_stage import write_json

    figure.check_installed()
    with options.exit_when_stopped(), workers.stopped_by_signals():
        results = runner.run_all(todo, Folders(artifacts, dataset_root(settings.dataset)), jobs, wanted.keep)
    rows = tables.rows_of(results, settings.dataset)
    write_json(path, rows)
    click.echo(tables.table(rows))
    click.echo(path)
    click.echo(figure.write_figure(rows, path.with_suffix(".png")))
