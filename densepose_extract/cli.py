"""`densepose-extract`: I, U, V maps of every picture of a dataset, and a look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from data import config as configuration
from data import console
from data.config import Settings
from data.records import read_manifest
from data.store import IuvStore

from . import stage
from .config import ExtractConfig
from .engines import make_engine
from .imported import Imported
from .stats import summary
from .target import Target
from .team import gathered

FILE = click.Path(path_type=Path)


def setting(flag: str, name: str, text: str) -> Callable[[Any], Any]:
    """Return the option of a setting of `ExtractConfig`, whose kind and default are the dataclass's."""
    kind, default = get_type_hints(ExtractConfig)[name], getattr(ExtractConfig(), name)
    if kind is bool:
        return click.option(flag, name, is_flag=True, default=None, help=text)
    choice = click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind if kind is int else str
    shown = "" if default is None else f" [{default}]"
    return click.option(flag, name, type=choice, help=text + shown)


def options(*chosen: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Join options to one decorator; the help lists them in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


place_options = options(
    click.option("--pictures", type=FILE, help="A folder of any pictures, in place of a dataset; wants --out."),
    click.option("--manifest", type=FILE, help="The list of pictures. [artifacts/<dataset>/manifest.csv]"),
    click.option("--root", type=FILE, help="The dataset's folder. [datasets/<dataset>]"),
    click.option("--out", type=FILE, help="The store to write. [artifacts/<dataset>/iuv.h5]"),
    click.option(
        "--jobs", default=1, show_default=True, help="Processes that read maps, or threads that read pictures."
    ),
    click.option("--overwrite", is_flag=True, help="Replace a store of other settings, mend a damaged one."),
    click.option("--skip-broken", is_flag=True, help="Go on where a picture cannot be read, and note why."),
)


@click.group(cls=console.Commands)
def main() -> None:
    """Stage one: DensePose's I, U, V for every pixel of every picture."""


@main.command()
@console.settings_options
@setting("--engine", "engine", "What makes the maps; auto is rendered for the synthetic dataset, else native.")
@setting("--checkpoint", "checkpoint", "A checkpoint's name, or its file.")
@setting("--device", "device", "As torch names it: cpu, cuda, cuda:1; auto is the GPU if there is one.")
@setting("--precision", "precision", "Of the network.")
@setting("--batch", "batch", "Pictures of 256x512 at a time.")
@place_options
def run(**given: Any) -> None:
    """Make the maps of a dataset, or of a folder of pictures.

    \b
    Several GPUs: torchrun --no-python --nproc-per-node 4 densepose-extract run --dataset market1501
    """
    _extract(**given)


@main.command("import")
@console.settings_options
@setting("--from", "maps", "The folder that holds the *_IUV.png, at the pictures' paths or by their names.")
@setting("--channels", "channels", "Where the chart is when read as RGB: first (rgb) or last (bgr).")
@setting("--allow-missing", "allow_missing", "Count a picture without a map as one in which nobody was found.")
@place_options
def import_(**given: Any) -> None:
    """Bring maps made elsewhere, *_IUV.png, in either channel order."""
    _extract(engine="import", **given)


def _extract(
    dataset: str | None,
    params: Path | None,
    experiment: str | None,
    assignments: Iterable[str],
    pictures: Path | None,
    manifest: Path | None,
    root: Path | None,
    out: Path | None,
    jobs: int,
    overwrite: bool,
    skip_broken: bool,
    **given: Any,
) -> None:
    """Join the settings with those given as options, run the stage, and say what came of it."""
    settings = console.read(dataset or (pictures.resolve().name if pictures else None), params, experiment, assignments)
    config = extract_config(settings, given)
    if pictures:
        target = Target.of_folder(pictures, manifest, out)
    else:
        target = Target.of_dataset(settings.dataset, root, manifest, out)
    with gathered() as team:
        if team.leads:
            target.list_pictures(jobs)
        team.wait()
        engine = make_engine(config, target.dataset, target.root, read_manifest(target.manifest), jobs, team)
        outcome = stage.extract(
            target.manifest, target.root, target.store, target.dataset, engine, jobs, overwrite, skip_broken, team
        )
        if team.leads:
            if isinstance(engine, Imported) and engine.missing:
                click.echo(f"{engine.missing} pictures have no map and count as nobody found")
            for line in summary(IuvStore(target.store), outcome):
                click.echo(line)


def extract_config(settings: Settings, given: dict[str, Any]) -> ExtractConfig:
    """Build the settings of section "extract", those given as options before all others."""
    values = {**settings.sections.get("extract", {}), **{name: x for name, x in given.items() if x is not None}}
    return configuration.build(ExtractConfig, values, f"{settings.source}: extract")
