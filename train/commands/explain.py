"""`dsa-train explain`: what the features of a trained network depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError

from ..explain.config import MEAN_QUERIES, PAGE_QUERIES, TABLE_QUERIES, Method
from . import options


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@console.with_settings()
@click.option(
    "--run", "source", type=options.FILE, help="A run's folder, or a model.pt. [artifacts/<dataset>/runs/<experiment>]"
)
@click.option("--against", type=options.FILE, help="Another run or model to compare with.")
@click.option("--regions", is_flag=True, help="Measure how much each feature depends on each body region.")
@click.option("--mean", is_flag=True, help="One row a network: the mean of the heat maps of all images.")
@click.option(
    "--method",
    type=click.Choice(get_args(Method)),
    default="occlusion",
    show_default=True,
    help="What the heat map shows: how the feature changes where the image is covered, or the share of its squared "
    "length that comes from there.",
)
@click.option(
    "--window", type=click.IntRange(1), help="Side of the covered square, in pixels. [a quarter of the width]"
)
@click.option("--stride", type=click.IntRange(1), help="Pixels between windows. [a quarter of the window]")
@click.option(
    "--count",
    type=click.IntRange(1),
    help=f"Queries to sample, without a KEY. [{PAGE_QUERIES}; with --mean {MEAN_QUERIES}, "
    f"with --regions {TABLE_QUERIES}]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample.")
@click.option("--manifest", type=options.FILE, help="The manifest. [artifacts/<dataset>/manifest.csv]")
@click.option(
    "--iuv", type=options.FILE, help="I, U, V maps. [the renderer's ground truth, else artifacts/<dataset>/iuv.h5]"
)
@options.device
@click.option("--out", type=console.OUTPUT, help="The PNG. [artifacts/<dataset>/explain.png]")
@click.option("--json", "as_json", is_flag=True, help="With --regions: print JSON alone.")
def explain(
    keys: tuple[str, ...],
    settings: Settings,
    source: Path | None,
    against: Path | None,
    regions: bool,
    mean: bool,
    method: Method,
    window: int | None,
    stride: int | None,
    count: int | None,
    seed: int,
    manifest: Path | None,
    iuv: Path | None,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Render heat maps of where each feature looks.

    The images are those with a KEY, as the manifest lists them, or a sample of the queries. With --regions, print how
    much each feature changes when a body region is masked.
    """
    if as_json and not regions:
        raise ConfigError("--json is for --regions. Add --regions, or leave --json out.")
    if mean and regions:
        raise ConfigError("--mean is for heat maps, and --regions prints a table. Leave one of them out.")
    artifacts = console.artifacts(settings.dataset)
    manifest = options.existing_manifest(settings, manifest)
    runs = [options.existing_run(settings, run) for run in (source, *([against] if against else []))]

    from dsa_data.images import write_png
    from dsa_data.sets import dataset_root

    from ..explain import explanation
    from ..explain import regions as tables
    from ..torch_setup import choose_device

    count = count or (TABLE_QUERIES if regions else MEAN_QUERIES if mean else PAGE_QUERIES)
    root, usual_iuv = dataset_root(settings.dataset), artifacts / "iuv.h5"
    subject = explanation.read_subject(runs, manifest, root, keys, count, seed, iuv, usual_iuv, choose_device(device))
    if not regions:
        page = (explanation.mean_page if mean else explanation.heat_map_page)(subject, method, window, stride)
        click.echo(write_png(out or artifacts / "explain.png", page))
        return
    by_network = explanation.region_sensitivity(subject)
    assert subject.maps is not None, "there is no sensitivity without maps"
    if as_json:
        networks = {name: one.plain() for name, one in by_network.items()}
        click.echo(json.dumps({"dataset": settings.dataset, "regions_by": subject.maps.source, "networks": networks}))
    else:
        click.echo(f"{tables.text(by_network)}\nRegions by {subject.maps.source}.")
