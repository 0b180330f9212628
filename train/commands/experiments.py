"""`dsa-train experiments`: the rows of the paper's tables."""

from __future__ import annotations

import click

from dsa_app import console

from ..ablation import rows


@click.command()
@console.dataset_option("The dataset of the measured results.", needed=False)
def experiments(dataset: str) -> None:
    """List the rows of the paper's Tables 3 to 5, with results."""
    click.echo(rows.table(console.artifacts(dataset or "market1501")))
