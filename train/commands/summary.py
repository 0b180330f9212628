"""`dsa-train summary`: the layers of the network."""

from __future__ import annotations

import click

from dsa_app import console
from dsa_app.config import Settings
from dsap.config import WarpConfig

from ..config import TrainConfig, sized


@click.command()
@console.with_settings(needs_dataset=False)
def summary(settings: Settings) -> None:
    """Print layers, shapes, parameters and GFLOP of the network.

    They are printed by part, beside those of the paper.
    """
    config, size = sized(settings.section("train", TrainConfig)), settings.section("warp", WarpConfig).size

    from ..network import summary as network_summary

    click.echo(network_summary.summary(config.network, height=config.height, width=config.width, size=size))
