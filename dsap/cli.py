"""`dsap`: build, check, look at and export stores of part pictures."""

from __future__ import annotations

import time
from pathlib import Path

import click

from data import console, sets
from data.store import DsapStore

from . import stage
from .config import WarpConfig
from .summary import summary
from .workers import BACKENDS

FILE = click.Path(path_type=Path)


@click.group(cls=console.Commands)
def main() -> None:
    """Stage two: each picture warped into its 24 part pictures, densely semantically aligned (DSAP)."""


@main.command()
@console.settings_options
@click.option("--split", "splits", multiple=True, help="Only this split; may be said again. [all]")
@click.option("--jobs", default=1, show_default=True, help="Worker processes; -1 for every core.")
@click.option("--backend", default=BACKENDS[0], show_default=True, help=f"joblib's: {', '.join(BACKENDS)}.")
@click.option("--scheduler", metavar="ADDRESS", help="With --backend dask: the address of the Dask scheduler.")
@click.option("--manifest", type=FILE, help="The list of pictures. [artifacts/<dataset>/manifest.csv]")
@click.option("--iuv", type=FILE, help="Their I, U, V maps. [artifacts/<dataset>/iuv.h5]")
@click.option("--root", type=FILE, help="The dataset's folder. [datasets/<dataset>]")
@click.option("--out", type=FILE, help="The store to write. [artifacts/<dataset>/dsap.h5]")
@click.option("--overwrite", is_flag=True, help="Replace a store that other settings made, or that is damaged.")
def build(
    dataset: str | None,
    params: Path | None,
    experiment: str | None,
    assignments: tuple[str, ...],
    splits: tuple[str, ...],
    jobs: int,
    backend: str,
    scheduler: str | None,
    manifest: Path | None,
    iuv: Path | None,
    root: Path | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Warp every picture of a dataset; what is unchanged since the last time is taken over."""
    settings = console.read(dataset, params, experiment, assignments)
    folder = console.artifacts(settings.dataset)
    start = time.monotonic()
    path = stage.build(
        manifest or folder / "manifest.csv",
        iuv or folder / "iuv.h5",
        out or folder / "dsap.h5",
        settings.section("warp", WarpConfig),
        root or sets.dataset_root(settings.dataset),
        splits or None,
        jobs,
        backend,
        scheduler,
        overwrite,
    )
    seconds = time.monotonic() - start
    store = DsapStore(path)
    for line in summary(store):
        click.echo(line)
    click.echo(f"in {seconds:.1f} s, {len(store) / seconds:,.0f} pictures a second")
