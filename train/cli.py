"""`dsa-train`: train, measure, and look at what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_data.images import write_png
from dsa_data.records import read_manifest
from dsa_data.sets import dataset_root
from dsa_reid.errors import ModelError
from dsap.config import WarpConfig

from . import stage
from .ablation import rows as experiments
from .batches.dataset import open_store
from .batches.feed import epoch_order, feed
from .batches.show import render_batch
from .commands import ablating, deploy, explaining, measuring
from .commands.options import data_options, run_folder
from .config import TrainConfig
from .interrupt import StoppedError
from .network.summary import summary as network_summary


class Commands(console.Commands):
    """Commands that also tell `dsa_reid`'s errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ModelError as error:
            console.fail(str(error))


@click.group(cls=Commands)
def main() -> None:
    """Train the two-stream network, measure it, look at it; use what is left."""


for command in (*measuring.COMMANDS, *ablating.COMMANDS, *explaining.COMMANDS, *deploy.COMMANDS):
    main.add_command(command)


@main.command()
@console.with_settings()
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder. [artifacts/<dataset>/runs/<experiment>]")
@click.option("--overwrite", is_flag=True, help="Start anew if the run there is of other settings or damaged.")
def run(
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Train; the same command again goes on where the last was stopped or killed."""
    made = console.artifacts(settings.dataset)
    try:
        model = stage.run(
            manifest or made / "manifest.csv",
            dataset_root(settings.dataset),
            dsap or made / "dsap.h5",
            out or run_folder(settings),
            settings.section("train", TrainConfig),
            settings.section("warp", WarpConfig),
            overwrite,
        )
    except StoppedError as stopped:
        click.echo(str(stopped), err=True)
        raise SystemExit(128 + stopped.number) from None
    click.echo(f"{model}: the main stream, all that is needed from here on")


@main.command("experiments")
@click.option("--dataset", default="market1501", show_default=True, help="Whose measured results to show.")
def experiments_(dataset: str) -> None:
    """List every row of the paper's Tables 3, 4 and 5, with its numbers and those measured here."""
    click.echo(experiments.table(console.artifacts(dataset)))


@main.command("show-batch")
@console.with_settings()
@data_options
@click.option(
    "--identities", type=click.IntRange(1), default=4, show_default=True, help="How many to draw, a row each."
)
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True, help="Whose first batch.")
@click.option("--out", type=click.Path(path_type=Path), help="The PNG. [artifacts/<dataset>/batch.png]")
def show_batch(
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    identities: int,
    epoch: int,
    out: Path | None,
) -> None:
    """Draw what the network is fed: augmented pictures with their DSAP beside them, by identity."""
    made = console.artifacts(settings.dataset)
    config = settings.section("train", TrainConfig)
    records = read_manifest(manifest or made / "manifest.csv", ["train"])
    store = open_store(dsap or made / "dsap.h5", settings.section("warp", WarpConfig)) if config.network.guide else None
    root = dataset_root(settings.dataset)
    data = stage.open_training_set(root, records, store, config)
    indices = epoch_order(data, config, epoch)[0].tolist()
    images, parts = feed(data.images.read(indices), data, config, epoch, step=0)
    count = min(identities, config.identities) * config.pictures
    labels = [f"pid {records[n].pid}, camera {records[n].camid}" for n in indices]
    shown = None if parts is None else parts[:count]
    page = render_batch(images[:count], shown, labels, data.images.preprocessing, config.pictures)
    click.echo(write_png(out or made / "batch.png", page))


@main.command()
@console.with_settings(default="market1501")
def summary(settings: Settings) -> None:
    """Print the network: layers, shapes, parameters and arithmetic by part, beside the paper's."""
    config = settings.section("train", TrainConfig)
    size = settings.section("warp", WarpConfig).size
    click.echo(network_summary(config.network, height=config.height, width=config.width, size=size))
