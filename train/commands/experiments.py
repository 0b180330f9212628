"""`dsa-train experiments`: the rows of the paper's tables, and the recipes."""

from __future__ import annotations

import click

from dsa_app import console

from ..ablation import rows
from ..published import TABLES_DATASET
from . import options


@click.command()
@console.dataset_option("The dataset of the measured results.", needed=False)
def experiments(dataset: str) -> None:
    """List the paper's rows and the recipes, with results.

    A row or recipe shows the runs with its own settings; all others are listed below, with what differs.
    """
    dataset = dataset or TABLES_DATASET
    options.check_dataset(dataset)
    click.echo(rows.table(console.artifacts(dataset), dataset))
