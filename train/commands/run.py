"""`dsa-train run`: train a network."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings
from dsap.config import WarpConfig

from ..config import TrainConfig
from . import options


@click.command(cls=console.Resumable)
@console.with_settings()
@options.data
@click.option("--out", type=options.FILE, help="Folder of the run. [artifacts/<dataset>/runs/<experiment>]")
@click.option("--overwrite", is_flag=True, help="Start again if the run in --out has other settings or is damaged.")
def run(settings: Settings, manifest: Path | None, dsap: Path | None, out: Path | None, overwrite: bool) -> None:
    """Train a network, or resume an interrupted run.

    The same command resumes a run that was interrupted or killed, at its last checkpoint.
    """
    train, warp = settings.section("train", TrainConfig), settings.section("warp", WarpConfig)
    evaluation = options.evaluate_config(settings, None)
    manifest = options.existing_manifest(settings, manifest)
    dsap = dsap or console.artifacts(settings.dataset) / "dsap.h5"

    from dsa_data.sets import dataset_root

    from ..batches.parts_store import check_before_training

    check_before_training(
        manifest,
        dsap if train.needs_store else None,
        warp if train.network.guide else None,
        train.identities,
        charts=train.needs_labels,
        dataset=settings.dataset,
        confidence=train.needs_confidence,
    )

    from .. import stage

    with options.exit_when_stopped():
        model = stage.run(
            manifest,
            dataset_root(settings.dataset),
            dsap,
            out or options.run_folder(settings),
            train,
            warp,
            overwrite,
            evaluation,
            options.run_name(settings),
        )
    click.echo(f"{model}: the main stream, all that deployment needs")
