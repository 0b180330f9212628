"""`dsa-train ablation`: the paper's tables under one budget, with controls; and the table of what it gave."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from joblib.externals.loky import get_reusable_executor

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import TrainingError
from dsa_data.sets import dataset_root

from ..ablation import figure, tables
from ..ablation.runner import run_all
from ..ablation.trainings import AblationConfig, Place, trainings
from ..evaluation_stage import write_json
from ..interrupt import StoppedError


@click.command()
@console.with_settings()
@console.jobs("Trainings side by side, each one a process.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The rows, JSON. [artifacts/<dataset>/tables.json; of some experiments tables-some.json]",
)
def ablation(settings: Settings, jobs: int, out: Path | None) -> None:
    """Train every row of the paper's tables, and controls, over several seeds; what is done is not done again.

    The settings are the budget of all rows alike. Go on after a kill with the same command.
    """
    place = Place(console.artifacts(settings.dataset), dataset_root(settings.dataset))
    wanted = settings.section("ablation", AblationConfig)
    todo = trainings(settings, wanted)
    figure.check()
    path = out or place.made / ("tables-some.json" if wanted.experiments else "tables.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _interruptible():
        rows = tables.rows_of(run_all(todo, place, jobs, wanted.keep))
    write_json(path, rows)
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


@contextmanager
def _interruptible() -> Iterator[None]:
    """End on SIGTERM as on SIGINT: take the workers along, say how to go on, exit with 128 + the signal's number."""
    caught = [signal.SIGINT]

    def stop(number: int, _: object) -> None:
        caught.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, StoppedError) as stopped:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
        number = stopped.number if isinstance(stopped, StoppedError) else int(caught[-1])
        click.echo(
            "Stopped. What is trained is kept, and the rest as of its last checkpoint: the same again.", err=True
        )
        raise SystemExit(128 + number) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _read(path: Path) -> tables.Rows:
    """Read rows. Raises TrainingError if the file is missing or another one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist. Make it: dsa-train ablation.") from None
    except ValueError:
        raise TrainingError(f"{path} is not JSON. Make it again: dsa-train ablation.") from None
    if not isinstance(found, list) or not found or not all(map(_is_row, found)):
        raise TrainingError(f"{path} does not hold the rows of an ablation. Name what dsa-train ablation wrote.")
    return found


def _is_row(row: Any) -> bool:
    """Tell whether `row` has what tables and figure read of it."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str) or row.get("table") not in figure.COLOURS:
        return False
    numbers = [row.get(name) for name in ("seeds", "mAP", "rank1")]
    if row["table"] == "curve":
        numbers.append([row.get("rate")] * len(numbers[0] or ()))
    return all(
        isinstance(one, list) and 0 < len(one) == len(numbers[0] or ()) and all(isinstance(x, int | float) for x in one)
        for one in numbers
    )
