"""`dsa-train ceiling`: an upper bound of matching."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from . import options


@click.command()
@console.with_settings()
@click.option("--manifest", type=options.FILE, help="[artifacts/<dataset>/manifest.csv]")
@click.option("--out", type=console.OUTPUT, help="[artifacts/<dataset>/ceiling.json]")
@options.json_alone
def ceiling(settings: Settings, manifest: Path | None, out: Path | None, as_json: bool) -> None:
    """Measure an upper bound: matching by true surfaces.

    For the synthetic dataset: images are compared where both truly show the same part of the surface.
    """
    manifest = options.existing_manifest(settings, manifest)

    from dsa_data.sets import dataset_root

    from ..ablation import ceiling as ceilings
    from ..evaluation_stage import write_json

    result = ceilings.ceiling(manifest, dataset_root(settings.dataset))
    measures = ceilings.ceiling_measures(result)
    path = write_json(out or console.artifacts(settings.dataset) / "ceiling.json", measures)
    if as_json:
        click.echo(json.dumps(measures))
        return
    click.echo(ceilings.ceiling_table(result))
    click.echo(path)
