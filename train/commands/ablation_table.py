"""`dsa-train ablation-table`: the table and the figure of an ablation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options


@click.command("ablation-table")
@click.argument("rows", type=options.FILE)
@options.json_alone
def ablation_table(rows: Path, as_json: bool) -> None:
    """Print the table of an ablation, and write its figure.

    ROWS is a JSON file that `dsa-train ablation` wrote; the figure is written beside it, and not with --json.
    """
    from ..ablation import figure, tables

    read = tables.read_rows(rows)
    if as_json:
        click.echo(json.dumps(tables.plain(read)))
        return
    click.echo(tables.table(read))
    click.echo(figure.write_figure(read, rows.with_suffix(".png")))
