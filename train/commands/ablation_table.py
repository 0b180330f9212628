"""`dsa-train ablation-table`: the table and the figure of an ablation."""

from __future__ import annotations

from pathlib import Path

import click

from . import options


@click.command("ablation-table")
@click.argument("rows", type=options.FILE)
def ablation_table(rows: Path) -> None:
    """Print the table of an ablation, and write its figure.

    ROWS is a JSON file that `dsa-train ablation` wrote; the figure is written beside it.
    """
    from ..ablation import figure, tables

    read = tables.read_rows(rows)
    click.echo(tables.table(read))
    click.echo(figure.write_figure(read, rows.with_suffix(".png")))
