"""`densepose-extract`: the I, U, V maps of every image of a dataset; figures and statistics of them.

A command imports what takes long inside its function, so that `--help` and refusals answer at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from dsa_app import config as configuration
from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError

from .config import ExtractConfig

FILE = click.Path(path_type=Path)


def setting(flag: str, name: str, text: str) -> Callable[[Any], Any]:
    """Return the option of a setting of `ExtractConfig`, with the type and the default of the dataclass."""
    kind, default = get_type_hints(ExtractConfig)[name], getattr(ExtractConfig(), name)
    if kind is bool:
        return click.option(flag, name, is_flag=True, default=None, help=text)
    allowed = get_args(kind) if get_origin(kind) is Literal else ()
    numbers = kind is int or bool(allowed and all(isinstance(value, int) for value in allowed))
    choice = int if numbers else click.Choice(allowed) if allowed else str
    shown = "" if default is None else f" [{default}]"
    return click.option(flag, name, type=choice, help=text + shown)


def options(*chosen: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a decorator that adds all these options; the help lists them in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


pictures_option = click.option("--pictures", type=FILE, help="A folder of images, instead of a dataset.")
manifest_option = click.option(
    "--manifest", type=FILE, help="The list of images. [artifacts/<dataset>/manifest.csv, or in the store's folder]"
)
root_option = click.option("--root", type=FILE, help="The dataset's folder. [datasets/<dataset>]")
store_options = options(
    click.option("--dataset", shell_complete=console.datasets, help="Name of the dataset, as in `dsa-data list`."),
    pictures_option,
    root_option,
    click.option("--iuv", "store", type=FILE, help="The maps. [artifacts/<dataset>/iuv.h5]"),
)
work_options = options(
    pictures_option,
    manifest_option,
    root_option,
    click.option("--out", type=console.OUTPUT, help="The store to write. [artifacts/<dataset>/iuv.h5]"),
    console.jobs("Processes that read maps, or threads that read images; -1 for every core."),
    click.option("--overwrite", is_flag=True, help="Replace a store of other settings, or a damaged one."),
    click.option("--skip-broken", is_flag=True, help="Continue if an image cannot be read, and record why."),
)


def folder_name(given: dict[str, Any]) -> str | None:
    """Return the name of the dataset for a store of --pictures."""
    return given["pictures"].resolve().name if given["pictures"] else None


@click.group("densepose-extract", cls=console.Commands)
def main() -> None:
    """Stage one: DensePose's I, U, V for every pixel of every image."""


@main.command(cls=console.Resumable)
@console.with_settings(implied=folder_name)
@setting("--engine", "engine", "The source of the maps; auto is rendered for a synthetic dataset, else native.")
@setting("--checkpoint", "checkpoint", "A checkpoint's name, or its file.")
@setting("--vertices", "vertices", "For native with a CSE checkpoint: the table of its mesh, see `vertices`.")
@setting("--device", "device", "cpu, cuda, cuda:1, ...; auto is the GPU if there is one.")
@setting("--precision", "precision", "Of the network.")
@setting("--batch", "batch", "Images of 256x512 in a batch.")
@setting("--bits", "bits", "8 or 16, of u and of v in the store; 16 loses nothing.")
@setting("--confidence", "confidence", "Store how sure each pixel is.")
@setting("--pose-model", "pose_model", "For pose: the landmark network's file, or mediapipe's wheel.")
@setting("--keypoints", "keypoints", "For keypoints: COCO's, mmpose's, YOLO's or BoxMOT's file or folder.")
@setting("--masks", "masks", "For keypoints: the folder of the person masks, PNG at the images' paths.")
@setting("--allow-missing", "allow_missing", "For keypoints: count an image without them as no person detected.")
@work_options
def run(**given: Any) -> None:
    """Make the maps of a dataset, or of a folder of images.

    \b
    Several GPUs: torchrun --no-python --nproc-per-node 4 densepose-extract run --dataset market1501
    """
    _extract(**given)


@main.command("vertices")
@click.argument("charts", type=FILE, metavar="IUV.json")
@click.argument("vertices", type=FILE, metavar="CSE.json")
@click.option("--out", type=console.OUTPUT, required=True, help="The table to write, *.npz.")
def vertices_(charts: Path, vertices: Path, out: Path) -> None:
    """Make the table that maps of CSE models need.

    IUV.json and CSE.json are DensePose-COCO's annotations of the same images: with chart, u and v of each point
    (densepose_minival2014.json), and with its vertex (densepose_minival2014_cse.json).
    """
    from .vertices import make_vertices, write_vertices

    table = make_vertices([charts], [vertices])
    click.echo(f"{write_vertices(out, table)}: {(table.chart > 0).sum()} of {len(table.chart)} vertices have a chart")


@main.command("import", cls=console.Resumable)
@console.with_settings(implied=folder_name)
@setting("--from", "maps", "The folder with the *_IUV.png, at the images' paths or by their names, or a *.pkl dump.")
@setting("--channels", "channels", "Channel of the chart when read as RGB: first (rgb) or last (bgr).")
@setting("--allow-missing", "allow_missing", "Count an image without a map as no person detected.")
@setting("--mapping", "mapping", "Part masks: the charts of their labels, a YAML file or the name of a mapping.")
@setting("--scores", "scores", "A CSV file with a score or a confidence of each map.")
@setting("--bits", "bits", "8 or 16, of u and of v in the store; 16 keeps the fractions of .npy and .npz.")
@work_options
def import_(**given: Any) -> None:
    """Import maps made elsewhere.

    *_IUV.png in either channel order, arrays, dumps of detectron2's apply_net.py, or part masks of a parser, with
    --mapping.
    """
    _extract(engine="import", **given)


def _extract(
    settings: Settings,
    pictures: Path | None,
    manifest: Path | None,
    root: Path | None,
    out: Path | None,
    jobs: int,
    overwrite: bool,
    skip_broken: bool,
    **given: Any,
) -> None:
    """Join the settings with those given as options, run the stage, and print the result."""
    config = extract_config(settings, given)
    check_engine_options(config.engine, settings.dataset, given)

    from dsa_app.process_group import join_process_group
    from dsa_data.records import read_manifest
    from dsa_data.stores.iuv import IuvStore

    from . import stage
    from .engines.keypoints import Keypoints
    from .engines.make import make_engine
    from .engines.maps import FoundMaps
    from .engines.rendered import Rendered
    from .stats import summary
    from .target import Target

    target = Target.choose(settings.dataset, pictures, root, manifest, out)
    with join_process_group() as group:
        if group.is_main:
            target.list_images(jobs)
        group.wait()
        engine = make_engine(config, target.dataset, target.root, read_manifest(target.manifest), jobs, group)
        outcome = stage.extract(
            target.manifest, target.root, target.store, target.dataset, engine, jobs, overwrite, skip_broken, group
        )
        if group.is_main:
            what = "keypoints" if isinstance(engine, Keypoints) else "map"
            if isinstance(engine, FoundMaps | Keypoints) and engine.missing:
                click.echo(f"{engine.missing} images have no {what} and count as no person detected")
            if isinstance(engine, FoundMaps | Keypoints) and engine.unused:
                unused = "maps" if isinstance(engine, FoundMaps) else "names of the keypoints"
                click.echo(
                    f"note: {len(engine.unused)} {unused} fit no image of the manifest, first {engine.unused[0]}",
                    err=True,
                )
            store = IuvStore(target.store)
            without_person = None
            if isinstance(engine, Rendered):
                none = [key for key, status in zip(store.keys, store.statuses, strict=True) if status == "none"]
                without_person = engine.count_without_person(key for key in none if key not in outcome.skipped)
            for line in summary(store, outcome, without_person):
                click.echo(line)


OF_NETWORKS = ("checkpoint", "device", "precision", "batch")  # options of the engines that run DensePose
OF_ENGINES: dict[str, tuple[str, ...]] = {"pose_model": ("pose",), "keypoints": ("keypoints",), "masks": ("keypoints",)}
OF_ENGINES |= {"allow_missing": ("keypoints", "import"), "vertices": ("native",)}


def check_engine_options(engine: str, dataset: str, given: dict[str, Any]) -> None:
    """Raise ConfigError for an option that the engine does not use, and would pass over in silence."""
    from dsa_data.sets import is_synthetic

    if engine == "auto":
        engine = "rendered" if is_synthetic(dataset) else "native"
    unused = [f"--{name}" for name in OF_NETWORKS if given.get(name) is not None]
    if engine in ("rendered", "import", "average") and unused:
        raise ConfigError(
            f"The engine {engine} runs no network and does not use {', '.join(unused)}. Leave that out, or name "
            "another engine: --engine native"
        )
    if engine in ("pose", "keypoints") and unused:
        raise ConfigError(
            f"The engine {engine} runs no DensePose and does not use {', '.join(unused)}. Leave that out."
        )
    for name, engines in OF_ENGINES.items():
        if given.get(name) is not None and engine not in engines:
            raise ConfigError(
                f"The engine {engine} does not use --{name.replace('_', '-')}. Leave that out, or name its engine: "
                f"--engine {engines[0]}"
            )


def extract_config(settings: Settings, given: dict[str, Any]) -> ExtractConfig:
    """Return the settings of section "extract"; those given as options take precedence."""
    values = {**(settings.sections.get("extract") or {}), **{name: x for name, x in given.items() if x is not None}}
    return configuration.build(ExtractConfig, values, f"{settings.source}: extract")


@main.command()
@click.argument("keys", nargs=-1)
@store_options
@click.option("--sheet", "count", type=click.IntRange(min=1), metavar="N", help="A random sample, on one page.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random sample.")
@click.option("--out", type=console.OUTPUT, help="The PNG. [iuv.png or iuv_sheet.png in the store's folder]")
def show(
    keys: tuple[str, ...],
    dataset: str | None,
    pictures: Path | None,
    root: Path | None,
    store: Path | None,
    count: int | None,
    seed: int,
    out: Path | None,
) -> None:
    """Draw images with their charts, U, V and level lines.

    KEYS are paths under the dataset's folder, as the manifest lists them. With --sheet, a random sample is shown
    instead, with status and score.
    """
    if bool(keys) == bool(count):
        raise ConfigError(
            "Name the images to show, as in query/0001_c1s1_000001_00.jpg, or add --sheet 40 for a random sample."
        )

    from dsa_data.images import write_png
    from dsa_data.stores.iuv import IuvStore

    from . import show as pages
    from .target import Target

    target = Target.choose(dataset, pictures, root, None, store)
    maps = IuvStore(target.store)
    if count:
        page, name = pages.contact_sheet(maps, target.root, count, seed), "iuv_sheet.png"
    else:
        page, name = pages.page(maps, target.root, keys), "iuv.png"
    click.echo(write_png(out or target.store.with_name(name), page))


@main.command()
@store_options
@manifest_option
@console.json_alone
def stats(
    dataset: str | None,
    pictures: Path | None,
    root: Path | None,
    store: Path | None,
    manifest: Path | None,
    as_json: bool,
) -> None:
    """Print people detected, visible charts and the share of body.

    People are counted by split and camera; the share of body is that of the images' pixels.
    """

    from dsa_data.records import read_manifest
    from dsa_data.stores.iuv import IuvStore

    from .stats import plain, report
    from .target import Target

    target = Target.choose(dataset, pictures, root, manifest, store)
    opened, records = IuvStore(target.store), read_manifest(target.manifest)
    if as_json:
        click.echo(json.dumps(plain(opened, records)))
        return
    for line in report(opened, records):
        click.echo(line)


@main.command()
@click.argument("first", type=FILE, metavar="A.h5")
@click.argument("second", type=FILE, metavar="B.h5")
@click.option("--root", type=FILE, help="The images' folder. [datasets/<dataset> of A, if there is one]")
@click.option("--worst", type=click.IntRange(0), default=12, show_default=True, help="Images that are drawn.")
@click.option("--out", type=console.OUTPUT, help="The PNG. [compare.png in the folder of A]")
@click.option("--csv", "csv_file", type=console.OUTPUT, help="Write a row for every image.")
@console.json_alone
def compare(
    first: Path,
    second: Path,
    root: Path | None,
    worst: int,
    out: Path | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Measure how far two stores agree.

    Compares the maps of the images that are in both: people detected, intersection over union of the bodies, same
    chart, same of eight regions, differences of u and v. The images that agree least are drawn side by side.
    """
    from dsa_data.images import write_png
    from dsa_data.stores.iuv import IuvStore

    from . import compare as comparing
    from .compare_page import page
    from .target import known_root

    with IuvStore(first) as one, IuvStore(second) as other:
        result = comparing.compare(one, other, worst, csv_file)
        if as_json:
            click.echo(json.dumps(comparing.plain(result, one, other)))
        else:
            for line in comparing.summary(result):
                click.echo(line)
        if csv_file:
            click.echo(csv_file, err=as_json)
        if result.worst:
            root = root or known_root(one.header.dataset)
            written = write_png(out or first.with_name("compare.png"), page(one, other, result.worst, root))
            click.echo(written, err=as_json)
