"""`dsa-train probe`: whether a dataset's maps improve local features, before a training."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from ..config import TrainConfig
from ..probe.config import ProbeConfig
from . import options


@click.command()
@console.with_settings()
@click.option("--run", "source", type=options.FILE, help="A run's folder, or a model.pt. [the pretrained trunk]")
@click.option("--manifest", type=options.FILE, help="The manifest. [artifacts/<dataset>/manifest.csv]")
@click.option("--iuv", type=options.FILE, help="I, U, V maps. [artifacts/<dataset>/iuv.h5]")
@click.option("--out", type=console.OUTPUT, help="The result, JSON. [artifacts/<dataset>/probe.json]")
@options.json_alone
def probe(
    settings: Settings, source: Path | None, manifest: Path | None, iuv: Path | None, out: Path | None, as_json: bool
) -> None:
    """Measure in minutes whether maps would help a training.

    Local features of a frozen trunk are pooled by regions in several ways, and compared after a discriminant analysis
    in closed form: by a head that predicts regions from the image, fitted to the dataset's own maps, to other people's
    maps, and without either. Feature maps are kept, so that a second probe with other maps is faster.
    """
    config = settings.section("probe", ProbeConfig)
    training = settings.section("train", TrainConfig)
    evaluation = options.evaluate_config(settings, None)
    artifacts = console.artifacts(settings.dataset)
    manifest = options.existing_manifest(settings, manifest)
    iuv = options.existing(iuv or artifacts / "iuv.h5", "Make it: densepose-extract run; or name other maps: --iuv.")
    run = options.existing_run(settings, source) if source else None

    from dsa_data.sets import dataset_root

    from .. import probe_stage
    from ..evaluation_stage import write_json
    from ..probe import figure, table

    trunk = probe_stage.frozen_trunk(run, training)
    root = dataset_root(settings.dataset)
    result = probe_stage.probe(manifest, root, iuv, trunk, artifacts / "probe", config, evaluation, training.workers)
    measures = {"dataset": settings.dataset, **table.plain(result)}
    path = write_json(out or artifacts / "probe.json", measures)
    if as_json:
        click.echo(json.dumps(measures))
        return
    click.echo(table.text(result))
    click.echo(path)
    if figure.is_installed():
        click.echo(figure.write_figure(result, path.with_suffix(".png")))
