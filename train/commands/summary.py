"""`dsa-train summary`: the layers of the network."""

from __future__ import annotations

import json

import click

from dsa_app import console
from dsa_app.config import Settings
from dsap.config import WarpConfig

from ..config import TrainConfig, sized
from . import options


@click.command()
@console.with_settings(needs_dataset=False)
@options.json_alone
def summary(settings: Settings, as_json: bool) -> None:
    """Print layers, shapes, parameters and GFLOP of the network.

    They are printed by part, beside those of the paper.
    """
    config, size = sized(settings.section("train", TrainConfig)), settings.section("warp", WarpConfig).size

    from ..network import summary as network_summary

    shown = network_summary.plain if as_json else network_summary.summary
    made = shown(config.network, height=config.height, width=config.width, size=size)
    click.echo(json.dumps(made) if as_json else made)
