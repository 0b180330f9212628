"""`dsa-train experiments`: the rows of the paper's tables, and the recipes."""

from __future__ import annotations

import json

import click

from dsa_app import console

from ..ablation import rows
from ..published import TABLES_DATASET
from . import options


@click.command()
@console.dataset_option("The dataset of the measured results.", needed=False)
@options.json_alone
def experiments(dataset: str, as_json: bool) -> None:
    """List the paper's rows and the recipes, with results.

    A row or recipe shows the runs with its own settings; all others are listed below, with what differs.
    """
    dataset = dataset or TABLES_DATASET
    options.check_dataset(dataset)
    artifacts = console.artifacts(dataset)
    click.echo(json.dumps(rows.plain(artifacts, dataset)) if as_json else rows.table(artifacts, dataset))
