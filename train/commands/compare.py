"""`dsa-train compare`: models beside each other, on datasets."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import experiment_file, read_settings
from dsa_app.errors import ConfigError, TrainingError

from ..comparison.entries import entries, missing
from . import options


@click.command(cls=console.Resumable)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option(
    "--dataset", "datasets", multiple=True, shell_complete=console.datasets, help="Name of a dataset; may be repeated."
)
@click.option("--labels", multiple=True, metavar="[TITLE=]CSV", help="The labels of features; may be repeated.")
@click.option("--guided", is_flag=True, help="Also each recipe with the guide on top, NAME+dsa.")
@click.option("--set", "assignments", multiple=True, metavar="evaluate.KEY=VALUE", help="One override.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0), help="To time a model for.")
@click.option("--csv", "table_file", type=console.OUTPUT, help="[artifacts/compare.csv]")
@click.option("--figure", "figure_file", type=console.OUTPUT, help="The PNG, mAP over time. [artifacts/compare.png]")
@click.option("--no-figure", is_flag=True, help="Write no figure, which needs matplotlib.")
@options.json_alone
def compare(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    labels: tuple[str, ...],
    guided: bool,
    assignments: tuple[str, ...],
    seconds: float,
    table_file: Path | None,
    figure_file: Path | None,
    no_figure: bool,
    as_json: bool,
) -> None:
    """Compare the accuracy, size and speed of models.

    Printed are Rank-1, mAP, parameters, GFLOP and images a second of each model on each dataset. A MODEL is an
    experiment, whose run of each dataset is measured (recipes/bot); a run's folder or a model.pt; or features of any
    program, as dsa-train evaluate takes them, or two files QUERY,GALLERY. Features without labels of their own have
    those of --labels, or of the dataset's manifest. TITLE=MODEL gives a title. What is measured is kept: the same
    command resumes, and measures only what is new.
    """
    if not models or not datasets:
        raise ConfigError("Name models and datasets: dsa-train compare recipes/bot recipes/pcb --dataset market1501.")
    compared = entries(models, guided, labels)
    for name in datasets:
        options.check_dataset(name)
    # experiments and runs, before anything slow is imported
    runs = [(entry, name, entry.run(console.artifacts(name))) for entry in compared for name in datasets]
    trained = {entry.title for entry, _, path in runs if _is_there(path)}
    for entry in compared:
        if entry.is_experiment and entry.title not in trained:
            experiment_file(entry.source)  # what is neither trained nor an experiment is misspelt
    if not trained and not any(entry.is_features for entry in compared):
        raise TrainingError(missing([(entry.source, name, path) for entry, name, path in runs]))
    settings = {name: read_settings(None, name, None, assignments) for name in datasets}

    from ..comparison import figure, rows, table

    if not no_figure:
        figure.check_installed()
    places = [
        rows.Place(
            name, console.artifacts(name), options.existing_manifest(own, None), options.evaluate_config(own, "main")
        )
        for name, own in settings.items()
    ]
    found = list(rows.rows(compared, places, seconds))
    folder = console.artifacts(datasets[0]).parent
    written = [table.write_csv(found, table_file or folder / "compare.csv")]
    if not no_figure and any(row.mAP is not None for row in found):
        written.append(figure.write_figure(found, figure_file or folder / "compare.png"))
    if as_json:
        click.echo(json.dumps({"rows": table.plain(found)}))
        return
    click.echo(table.text(found))
    for path in written:
        click.echo(path)


def _is_there(run: Path) -> bool:
    return run.is_file() or (run / "model.pt").is_file()
