"""`dsap`: build, verify, show and export stores of part images.

A command imports what takes long inside its function, so that `--help` and refusals answer at once.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError, DatasetError
from dsa_app.wording import counted

from .config import BACKENDS, WarpConfig
from .fuse.config import FuseConfig

FILE = click.Path(path_type=Path)
NAME = console.dataset_option()
MANIFEST = click.option("--manifest", type=FILE, help="The list of images. [artifacts/<dataset>/manifest.csv]")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a store of other settings, or a damaged one.")
IUV = click.option("--iuv", type=FILE, help="Their I, U, V maps. [artifacts/<dataset>/iuv.h5]")
ROOT = click.option("--root", type=FILE, help="The dataset's folder. [datasets/<dataset>]")
STORE = click.option("--dsap", "store", type=FILE, help="The store. [artifacts/<dataset>/dsap.h5]")
SPLITS = click.option("--split", "splits", multiple=True, help="Only this split; may be repeated. [all]")


@click.group("dsap", cls=console.Commands)
def main() -> None:
    """Stage two: each image warped into its 24 part images, densely semantically aligned (DSAP)."""


def implied_dataset(given: dict[str, Any]) -> str | None:
    """Return a name for a store of which all paths are given: that of the folder of images."""
    images = given["pictures"] or (given["root"] if given["manifest"] and given["iuv"] and given["out"] else None)
    return images.resolve().name if images else None


@main.command(cls=console.Resumable)
@console.with_settings(implied=implied_dataset)
@click.option("--pictures", type=FILE, help="A folder of images, instead of a dataset; needs --iuv and --out.")
@SPLITS
@console.jobs("Worker processes; -1 for every core.")
@click.option(
    "--backend",
    default=BACKENDS[0],
    show_default=True,
    help=f"Kind of workers, one of joblib's: {', '.join(BACKENDS)}.",
)
@click.option("--scheduler", metavar="ADDRESS", help="With --backend dask: the address of the Dask scheduler.")
@MANIFEST
@IUV
@ROOT
@click.option("--out", type=console.OUTPUT, help="The store to write. [artifacts/<dataset>/dsap.h5]")
@OVERWRITE
@console.json_alone
def build(
    settings: Settings,
    pictures: Path | None,
    splits: tuple[str, ...],
    jobs: int,
    backend: str,
    scheduler: str | None,
    manifest: Path | None,
    iuv: Path | None,
    root: Path | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Warp every image of a dataset into its part images.

    Part images of unchanged images in an existing store are reused.
    """
    if pictures:
        if iuv is None or out is None:
            raise ConfigError(f"--pictures {pictures} needs --iuv DIR/iuv.h5 and --out DIR/dsap.h5.")
        root, manifest = root or pictures, manifest or iuv.with_name("manifest.csv")
        if not pictures.is_dir():
            raise DatasetError(f"{pictures} is not a folder. Name the folder of the images: --pictures DIR.")
    folder = console.artifacts(settings.dataset)
    config = settings.section("warp", WarpConfig)

    from dsa_data.sets import dataset_root
    from dsa_data.stores.dsap import DsapStore
    from dsa_data.stores.header import note_other_dataset

    from . import stage
    from .summary import plain, summary

    start = time.monotonic()
    path = stage.build(
        manifest or folder / "manifest.csv",
        iuv or folder / "iuv.h5",
        out or folder / "dsap.h5",
        config,
        root or dataset_root(settings.dataset),
        splits or None,
        jobs,
        backend,
        scheduler,
        overwrite,
    )
    seconds = time.monotonic() - start
    store = DsapStore(path)
    note_other_dataset(store, settings.dataset)
    if as_json:
        click.echo(json.dumps(plain(store) | {"seconds": round(seconds, 3)}))
        return
    for line in summary(store):
        click.echo(line)
    click.echo(f"in {seconds:.1f} s, {len(store) / seconds:,.0f} images a second")


@main.command(cls=console.Resumable)
@console.with_settings(implied=implied_dataset)
@console.jobs("Worker processes; -1 for every core.")
@MANIFEST
@IUV
@ROOT
@click.option("--out", type=console.OUTPUT, help="The maps to write. [artifacts/<dataset>/fused.h5]")
@OVERWRITE
def fuse(
    settings: Settings,
    jobs: int,
    manifest: Path | None,
    iuv: Path | None,
    root: Path | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Find limbs with left and right exchanged, and correct them.

    All images of an identity of the training split are fused on one surface. Writes corrected maps, the surfaces, and a
    CSV file with the evidence; build part images from them by `dsap build --iuv`.
    """
    folder = console.artifacts(settings.dataset)
    config = settings.section("fuse", FuseConfig)

    from dsa_data.sets import dataset_root

    from .fuse.stage import fuse_all

    made = fuse_all(
        manifest or folder / "manifest.csv",
        iuv or folder / "iuv.h5",
        out or folder / "fused.h5",
        config,
        root or dataset_root(settings.dataset),
        jobs,
        overwrite,
    )
    if not made.changed:
        click.echo(f"{made.maps} is up to date")
        return
    found = ", ".join(f"{limbs} of {counted(count, 'map')}" for limbs, count in made.exchanged.items())
    around = "" if made.turned is None else f"; turned around: {counted(made.turned, 'map')}"
    click.echo(f"{counted(made.images, 'image')}, {counted(made.persons, 'surface')}; exchanged: {found}{around}")
    for path in (made.maps, made.surfaces, made.report):
        click.echo(path)


@main.command()
@NAME
@MANIFEST
@IUV
@STORE
@SPLITS
def verify(dataset: str, manifest: Path | None, iuv: Path | None, store: Path | None, splits: tuple[str, ...]) -> None:
    """Read a store completely and print every fault.

    Each fault is printed with the image that it concerns.
    """
    from dsa_data.records import read_manifest
    from dsa_data.stores.header import note_other_dataset
    from dsa_data.stores.iuv import IuvStore

    from .verify import verify as faults_of

    folder = console.artifacts(dataset)
    path = store or folder / "dsap.h5"
    records = read_manifest(manifest or folder / "manifest.csv", splits or None)
    maps = IuvStore(iuv or folder / "iuv.h5")
    note_other_dataset(maps, dataset)
    faults = 0
    for fault in faults_of(path, records, maps):
        click.echo(f"{fault}")
        faults += 1
    if faults:
        console.fail(f"{path}: {counted(faults, 'fault')}. Build it again: dsap build --overwrite")
    click.echo(f"{path}: {len(records)} images, no fault")


@main.command()
@NAME
@click.argument("key", required=False)
@click.option("--mean", "pid", type=int, metavar="PID", help="The mean over an identity's images.")
@click.option("--compare", is_flag=True, help="Fine above coarse part images.")
@MANIFEST
@IUV
@ROOT
@STORE
@click.option("--out", type=console.OUTPUT, help="The PNG. [artifacts/<dataset>/show.png]")
def show(
    dataset: str,
    key: str | None,
    pid: int | None,
    compare: bool,
    manifest: Path | None,
    iuv: Path | None,
    root: Path | None,
    store: Path | None,
    out: Path | None,
) -> None:
    """Draw an image, its map, and its part images laid out as a body.

    KEY is the image's path under the dataset's folder; by default an image with the most visible charts.
    """
    from dsa_data.images import write_png
    from dsa_data.records import read_manifest
    from dsa_data.sets import dataset_root
    from dsa_data.stores.dsap import DsapStore
    from dsa_data.stores.header import note_other_dataset
    from dsa_data.stores.iuv import IuvStore

    from .show import Page, fullest

    folder = console.artifacts(dataset)
    parts = DsapStore(store or folder / "dsap.h5")
    note_other_dataset(parts, dataset)
    page = Page(root or dataset_root(dataset), IuvStore(iuv or folder / "iuv.h5"), parts)
    if pid is None:
        figure = page.image(key or fullest(parts), compare)
    else:
        figure = page.mean(pid, read_manifest(manifest or folder / "manifest.csv"), compare)
    click.echo(write_png(out or folder / "show.png", figure))


@main.command()
@NAME
@MANIFEST
@STORE
@SPLITS
@click.option("--out", type=FILE, required=True, help="A file ending in .parquet, or a folder for .npy files.")
def export(dataset: str, manifest: Path | None, store: Path | None, splits: tuple[str, ...], out: Path) -> None:
    """Write part images for other programs, as .npy or Parquet.

    They are .npy files in a folder, or one Parquet file.
    """
    from dsa_data.records import read_manifest
    from dsa_data.stores.dsap import DsapStore
    from dsa_data.stores.header import note_other_dataset

    from . import export as exporting

    folder = console.artifacts(dataset)
    records = read_manifest(manifest or folder / "manifest.csv", splits or None)
    parts = DsapStore(store or folder / "dsap.h5")
    note_other_dataset(parts, dataset)
    path = exporting.export(parts, records, out)
    click.echo(f"{path}: {len(records)} images")
