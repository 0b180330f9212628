"""`dsa-train show-batch`: a batch as the network sees it."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings
from dsap.config import WarpConfig

from ..config import TrainConfig
from . import options


@click.command("show-batch")
@console.with_settings()
@options.data
@click.option("--identities", type=click.IntRange(1), default=4, show_default=True, help="Rows: identities to show.")
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True, help="The epoch of the batch.")
@click.option("--out", type=console.OUTPUT, help="The PNG. [artifacts/<dataset>/batch.png]")
def show_batch(
    settings: Settings, manifest: Path | None, dsap: Path | None, identities: int, epoch: int, out: Path | None
) -> None:
    """Render an epoch's first batch as the network sees it.

    Each row shows the augmented images of one identity, with their DSAP beside them.
    """
    artifacts = console.artifacts(settings.dataset)
    train, warp = settings.section("train", TrainConfig), settings.section("warp", WarpConfig)
    manifest = options.existing_manifest(settings, manifest)

    from dsa_data.images import write_png
    from dsa_data.sets import dataset_root

    from ..batch_page import batch_page

    root = dataset_root(settings.dataset)
    page = batch_page(manifest, root, dsap or artifacts / "dsap.h5", train, warp, identities, epoch)
    click.echo(write_png(out or artifacts / "batch.png", page))
