"""`dsa-data`: list and check datasets, render the synthetic one, look at images.

A command imports what takes long inside its function, so that `--help` and refusals answer at once.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from dsa_app import console, remedies
from dsa_app.config import Settings
from dsa_app.errors import DatasetError
from dsa_app.wording import counted

from .synthetic.config import SynthConfig


@click.group("dsa-data", cls=console.Commands)
def main() -> None:
    """Datasets: which person, camera and split each image belongs to."""


@main.command("list")
@console.json_alone
def list_(as_json: bool) -> None:
    """Print all datasets, the folder of each, and whether it is there."""
    from . import sets

    if as_json:
        click.echo(json.dumps({"datasets": sets.listed()}))
        return
    for name, dataset in sets.SETS.items():
        folder = sets.parent() / dataset.folder
        state = "there" if folder.is_dir() else f"missing. {dataset.source}"
        click.echo(f"{name:26}{dataset.title}\n{'':26}{folder}: {state}")
    for name, text in sets.others().items():
        click.echo(f"{name:26}{text}\n{'':26}{sets.parent() / name}: exists")
    click.echo(f"\nYour own dataset: {sets.parent()}/<name> (docs/datasets.md). Several datasets: market1501+msmt17.")


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Make a project in DIR: the pipeline and its settings.

    An installed package is enough to work there; a clone is not needed.
    """
    from .new_project import new_project

    written = new_project(folder)
    click.echo(
        f"{folder}: {counted(len(written), 'new file')}: params.yaml, dvc.yaml, experiments"
        if written
        else f"{folder}: nothing is missing"
    )
    click.echo(f"Next:\n  cd {shlex.quote(str(folder))}\n  dvc repro\n  dsa-train report")


@main.command(cls=console.Resumable)
@console.with_settings()
@click.option("--out", type=console.OUTPUT, help="The manifest. [artifacts/<dataset>/manifest.csv]")
@console.jobs("Worker processes.")
@click.option("--overwrite", is_flag=True, help="Render the synthetic dataset again if its settings changed.")
@console.json_alone
def prepare(
    settings: Settings,
    out: Path | None,
    jobs: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the manifest of a dataset: a line for each image.

    The synthetic dataset is rendered first.
    """
    from . import check as checks
    from . import sets
    from .listing import PROTOCOLS, list_dataset

    if sets.is_synthetic(settings.dataset):
        click.echo(render(settings, jobs, overwrite), err=as_json)
    path = out or console.artifacts(settings.dataset) / "manifest.csv"
    records = list_dataset(settings.dataset, path, jobs)
    protocols = sorted((path.parent / PROTOCOLS).glob("*.csv"))
    if as_json:
        made = {"manifest": str(path), "protocols": list(map(str, protocols))}
        click.echo(json.dumps({"dataset": settings.dataset, **made, "splits": checks.plain(records)}))
    else:
        click.echo(f"{path}: {len(records)} images of {sets.dataset_root(settings.dataset)}")
        for line in (*checks.table(records), *protocols):
            click.echo(line)
    if checks.deviations(records, sets.dataset(settings.dataset)):
        click.echo(remedies.complete("note: the counts differ from the published ones: dsa-data check"), err=True)
    for note in (checks.repeated(records), checks.unmatched(records)):
        if note:
            click.echo(f"note: {note}", err=True)


@main.command(cls=console.Resumable)
@console.with_settings()
@console.jobs("Worker processes.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that was rendered with other settings.")
def synth(
    settings: Settings,
    jobs: int,
    overwrite: bool,
) -> None:
    """Render the synthetic dataset, in Market-1501's layout.

    It shows people, with the true I, U, V of every pixel.
    """
    click.echo(render(settings, jobs, overwrite))


def render(settings: Settings, jobs: int, overwrite: bool) -> str:
    """Render the synthetic dataset with the settings' section "synth"; return its folder and name."""
    config = settings.section("synth", SynthConfig)

    from . import sets
    from .synthetic.dataset import synthesise

    if not sets.is_synthetic(settings.dataset):
        raise DatasetError(
            f"{settings.dataset} is not a synthetic dataset. Name synthetic, or a name that begins with synthetic-."
        )
    root = sets.dataset_root(settings.dataset)
    synthesise(config, root, jobs=jobs, overwrite=overwrite)
    return f"{root}: the dataset {settings.dataset}"


@main.command()
@console.dataset_option()
@click.option(
    "--identities", type=click.IntRange(min=1), default=8, show_default=True, help="Number of identities, a row each."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the sample of identities.")
@click.option("--out", type=console.OUTPUT, help="The PNG. [artifacts/<dataset>/sheet.png]")
def sheet(dataset: str, identities: int, seed: int, out: Path | None) -> None:
    """Show images of some identities on one page."""
    from . import sets
    from .images import write_png
    from .sheet import identity_sheet

    path = out or console.artifacts(dataset) / "sheet.png"
    entries = sets.scan(dataset)
    write_png(path, identity_sheet(sets.dataset_root(dataset), entries, identities, seed))
    click.echo(path)


@main.command()
@console.dataset_option()
@console.json_alone
def stats(dataset: str, as_json: bool) -> None:
    """Print the number of images, identities and cameras by split."""
    from . import check as checks
    from . import sets

    if as_json:
        click.echo(json.dumps({"dataset": dataset, "splits": checks.plain(sets.scan(dataset))}))
        return
    for line in checks.table(sets.scan(dataset)):
        click.echo(line)


@main.command()
@console.dataset_option()
@console.json_alone
def check(dataset: str, as_json: bool) -> None:
    """Compare a dataset with its published counts.

    Prints what is missing, and how to get it.
    """
    from . import check as checks
    from . import sets
    from .records import read_manifest

    definition, root = sets.dataset(dataset), sets.dataset_root(dataset)
    entries = sets.scan(dataset)
    missing, deviations = checks.missing(entries, root), checks.deviations(entries, definition)
    compared = bool(definition.published or definition.total)
    if as_json:
        found = {"dataset": dataset, "root": str(root), "splits": checks.plain(entries, definition)}
        click.echo(json.dumps(found | {"compared": compared, "missing": missing, "deviations": deviations}))
    else:
        for line in checks.table(entries, definition):
            click.echo(line)
    if missing:
        raise DatasetError(f"{root}: {missing}. {definition.source}")
    if deviations:
        raise DatasetError(
            f"{root} differs from {definition.title} as published: {'; '.join(deviations)}. {definition.source}"
        )
    if unmatched := checks.unmatched(entries):
        if not checks.measurable(entries):
            raise DatasetError(f"{root}: {unmatched}")
        click.echo(f"note: {unmatched}", err=True)
    if unlisted := checks.unlisted(entries, root):
        click.echo(f"note: {unlisted}", err=True)
    manifest = console.artifacts(dataset) / "manifest.csv"
    if manifest.is_file() and (repeated := checks.repeated(read_manifest(manifest))):
        click.echo(f"note: {repeated}", err=True)
    if not as_json:
        result = "as published" if compared else "no published counts to compare with"
        click.echo(f"{root}: {definition.title}, {result}")


@main.command("pack")
@console.dataset_option()
@click.option("--out", type=console.OUTPUT, help="The archive. [artifacts/<dataset>/<dataset>.zip]")
@click.option("--since", type=click.Path(path_type=Path), help="An earlier archive: only what changed since.")
def pack_(dataset: str, out: Path | None, since: Path | None) -> None:
    """Pack maps, part images and model into one archive.

    With what DVC knows about them, so that `dvc repro` makes none of them again where it is unpacked.
    """
    from .sharing.pack import pack

    path = out or console.artifacts(dataset) / f"{dataset}{'-changes' if since else ''}.zip"
    index = pack(dataset, path, since)
    here = [file for file in index.files if file.here]
    left = len(index.files) - len(here)
    click.echo(
        f"{path}: {counted(len(here), 'file')} of {dataset}, {sum(file.size for file in here) / 1e6:.1f} MB"
        + (f"; {counted(left, 'unchanged file')} left out" if since else "")
    )


@main.command("unpack", cls=console.Resumable)
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace files that differ from the archive's.")
def unpack_(archive: Path, overwrite: bool) -> None:
    """Put the files of an ARCHIVE of `dsa-data pack` in place."""
    from .sharing.unpack import project_differences, unpack

    index, written = unpack(archive, overwrite)
    for path in written:
        click.echo(path)
    click.echo(f"{archive}: {counted(len(index.files), 'file')} of {index.dataset}, {len(written)} of them new")
    for name in project_differences(index):
        click.echo(f"note: {name} is not the one it was packed with: `dvc repro` may run stages again.", err=True)


@main.command("cache-maps")
@click.option("--off", is_flag=True, help="Keep them out of the cache, as by default.")
def cache_maps(off: bool) -> None:
    """Let DVC's cache hold the maps, for dvc push and pull.

    It also holds the manifest and the part images. They take twice the disk.
    """
    from .sharing.cache_option import PIPELINE, STAGES, set_cached

    set_cached(not off)
    click.echo(f"{PIPELINE}: manifest, maps and part images {'stay out of' if off else 'go into'} DVC's cache")
    if not off and Path("dvc.lock").is_file():
        click.echo(f"Put those that are made into it now: dvc commit {' '.join(STAGES)}")
