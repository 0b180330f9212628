"""`dsa-data`: list and check datasets, draw the synthetic one, look at pictures."""

from __future__ import annotations

from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import DatasetError

from . import check as checks
from . import sets
from .images import write_png
from .listing import PROTOCOLS, list_dataset
from .sheet import identity_sheet
from .synthetic.dataset import synthesise
from .synthetic.shots import SynthConfig


@click.group(cls=console.Commands)
def main() -> None:
    """Datasets: who is in which picture, in which split."""


@main.command("list")
def list_() -> None:
    """Print the datasets, where each is expected, and whether it is there."""
    for name, dataset in sets.SETS.items():
        place = sets.parent() / dataset.folder
        state = "there" if place.is_dir() else f"missing. {dataset.source}"
        click.echo(f"{name:26}{dataset.title}\n{'':26}{place}: {state}")
    click.echo(f"\nYour own: {sets.parent()}/<name>, as docs/datasets.md says. Several at once: market1501+msmt17.")


@main.command()
@console.with_settings(default="synthetic")
@click.option("--out", type=click.Path(path_type=Path), help="The manifest. [artifacts/<dataset>/manifest.csv]")
@console.jobs("Worker processes.")
@click.option("--overwrite", is_flag=True, help="Draw the synthetic dataset anew if its settings changed.")
def prepare(
    settings: Settings,
    out: Path | None,
    jobs: int,
    overwrite: bool,
) -> None:
    """List every picture of a dataset in its manifest; the synthetic dataset is drawn first."""
    if sets.is_drawn(settings.dataset):
        draw(settings, jobs, overwrite)
    path = out or console.artifacts(settings.dataset) / "manifest.csv"
    found = list_dataset(settings.dataset, path, jobs)
    click.echo(f"{path}: {len(found)} pictures of {sets.dataset_root(settings.dataset)}")
    for line in checks.table(found):
        click.echo(line)
    for protocol in sorted((path.parent / PROTOCOLS).glob("*.csv")):
        click.echo(protocol)
    if checks.differences(found, sets.dataset(settings.dataset)):
        click.echo(f"note: not the whole dataset as published: dsa-data check --dataset {settings.dataset}", err=True)
    if without := checks.unmatched(found):
        click.echo(f"note: {without}", err=True)


@main.command()
@console.with_settings(default="synthetic")
@console.jobs("Worker processes.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that was drawn with other settings.")
def synth(
    settings: Settings,
    jobs: int,
    overwrite: bool,
) -> None:
    """Draw the synthetic dataset: people with every pixel's true I, U, V, in Market-1501's layout."""
    draw(settings, jobs, overwrite)


def draw(settings: Settings, jobs: int, overwrite: bool) -> None:
    """Draw the synthetic dataset with the settings' section "synth"."""
    if not sets.is_drawn(settings.dataset):
        raise DatasetError(
            f"{settings.dataset} is not drawn. Name synthetic, or another drawn dataset as in synthetic-more."
        )
    root = sets.dataset_root(settings.dataset)
    synthesise(settings.section("synth", SynthConfig), root, jobs=jobs, overwrite=overwrite)
    click.echo(f"{root}: the dataset {settings.dataset}")


@main.command()
@click.option("--dataset", default="synthetic", show_default=True, help="Name of the dataset.")
@click.option("--identities", type=click.IntRange(min=1), default=8, show_default=True, help="A row each.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws the identities.")
@click.option("--out", type=click.Path(path_type=Path), help="The PNG. [artifacts/<dataset>/sheet.png]")
def sheet(dataset: str, identities: int, seed: int, out: Path | None) -> None:
    """Draw some identities' pictures on one page."""
    path = out or console.artifacts(dataset) / "sheet.png"
    entries = sets.scan(dataset)
    write_png(path, identity_sheet(sets.dataset_root(dataset), entries, identities, seed))
    click.echo(path)


@main.command()
@click.option("--dataset", required=True, help="Name of the dataset.")
def stats(dataset: str) -> None:
    """Print pictures, identities and cameras of each split."""
    for line in checks.table(sets.scan(dataset)):
        click.echo(line)


@main.command()
@click.option("--dataset", required=True, help="Name of the dataset.")
def check(dataset: str) -> None:
    """Compare a dataset with its published counts; say what is missing and how to get it."""
    known, root = sets.dataset(dataset), sets.dataset_root(dataset)
    entries = sets.scan(dataset)
    for line in checks.table(entries, known):
        click.echo(line)
    if absent := checks.missing(entries, root):
        raise DatasetError(f"{root}: {absent}. {known.source}")
    if faults := checks.differences(entries, known):
        raise DatasetError(f"{root} is not {known.title}, as it was published: {'; '.join(faults)}. {known.source}")
    if without := checks.unmatched(entries):
        if not checks.measurable(entries):
            raise DatasetError(f"{root}: {without}")
        click.echo(f"note: {without}", err=True)
    compared = "as published" if known.published or known.together else "nothing was published to compare it with"
    click.echo(f"{root}: {known.title}, {compared}")
