"""`dsa-train ablation`: the paper's tables under one budget, with controls; and the table of what it gave."""

from __future__ import annotations

import json
from pathlib import Path

import click

from data import console
from data.config import Settings
from data.errors import TrainingError
from data.sets import dataset_root

from . import figure, tables
from .ablation import AblationConfig, Place, run_all, trainings
from .evaluate import write_json


@click.command()
@console.with_settings()
@console.jobs("Trainings side by side, each one a process.")
@click.option("--out", type=click.Path(path_type=Path), help="The rows, JSON. [artifacts/<dataset>/tables.json]")
def ablation(settings: Settings, jobs: int, out: Path | None) -> None:
    """Train every row of the paper's tables, and controls, over several seeds; what is done is not done again.

    The settings are the budget of all rows alike. Go on after a kill with the same command.
    """
    place = Place(console.artifacts(settings.dataset), dataset_root(settings.dataset))
    wanted = settings.section("ablation", AblationConfig)
    rows = tables.rows_of(run_all(trainings(settings, wanted), place, jobs, wanted.keep))
    path = write_json(out or place.made / "tables.json", rows)
    click.echo(tables.table(rows))
    click.echo(path)
    click.echo(figure.draw(rows, path.with_suffix(".png")))


@click.command("ablation-table")
@click.argument("rows", type=click.Path(path_type=Path))
def ablation_table(rows: Path) -> None:
    """Print the table of ROWS, a JSON file that `ablation` wrote, and draw its figure beside it."""
    found = _read(rows)
    click.echo(tables.table(found))
    click.echo(figure.draw(found, rows.with_suffix(".png")))


COMMANDS = (ablation, ablation_table)


def _read(path: Path) -> tables.Rows:
    """Read rows. Raises TrainingError if the file is missing or another one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist. Make it: dsa-train ablation.") from None
    except ValueError:
        raise TrainingError(f"{path} is not JSON. Make it again: dsa-train ablation.") from None
    known = {"name", "table", "seeds", "mAP", "rank1"}
    if not isinstance(found, list) or not all(isinstance(row, dict) and known <= row.keys() for row in found):
        raise TrainingError(f"{path} does not hold the rows of an ablation. Name what dsa-train ablation wrote.")
    return found
