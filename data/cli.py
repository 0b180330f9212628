"""`dsa-data`: list and check datasets, draw the synthetic one, look at pictures."""

from __future__ import annotations

from pathlib import Path

import click

from . import console, records, sets
from .config import Settings
from .images import write_png
from .sets.synthetic import synthesise
from .sheet import identity_sheet
from .shots import SynthConfig


@click.group(cls=console.Commands)
def main() -> None:
    """Datasets: who is in which picture, in which split."""


@main.command("list")
def list_() -> None:
    """Print the datasets, where each is expected, and whether it is there."""
    for name, dataset in sets.SETS.items():
        root = sets.dataset_root(name)
        click.echo(f"{name:12} {root} {'(there)' if root.is_dir() else '(missing)'}  {dataset.title}. {dataset.source}")


@main.command()
@console.with_settings(default="synthetic")
@click.option("--out", type=click.Path(path_type=Path), help="The manifest. [artifacts/<dataset>/manifest.csv]")
@click.option("--jobs", default=1, show_default=True, help="Worker processes.")
@click.option("--overwrite", is_flag=True, help="Draw the synthetic dataset anew if its settings changed.")
def prepare(
    settings: Settings,
    out: Path | None,
    jobs: int,
    overwrite: bool,
) -> None:
    """List every picture of a dataset in its manifest; the synthetic dataset is drawn first."""
    if settings.dataset == "synthetic":
        draw(settings, jobs, overwrite)
    root = sets.dataset_root(settings.dataset)
    found = records.index(root, sets.scan(settings.dataset), jobs)
    path = records.write_manifest(found, out or console.artifacts(settings.dataset) / "manifest.csv")
    click.echo(f"{path}: {len(found)} pictures of {root}")
    for line in counts(found):
        click.echo(line)


@main.command()
@console.with_settings(default="synthetic")
@click.option("--jobs", default=1, show_default=True, help="Worker processes.")
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
    root = sets.dataset_root("synthetic")
    synthesise(settings.section("synth", SynthConfig), root, jobs=jobs, overwrite=overwrite)
    click.echo(f"{root}: the synthetic dataset")


@main.command()
@click.option("--dataset", default="synthetic", show_default=True, help="Name of the dataset.")
@click.option("--identities", default=8, show_default=True, help="How many identities, a row each.")
@click.option("--seed", default=0, show_default=True, help="Draws the identities.")
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
    for line in counts(sets.scan(dataset)):
        click.echo(line)


def counts(entries: list[records.Entry] | list[records.Record]) -> list[str]:
    """Return lines of a table: pictures, identities (distractors left out) and cameras of each split."""
    lines = [f"{'split':10}{'pictures':>10}{'identities':>12}{'cameras':>9}"]
    for split in dict.fromkeys(entry.split for entry in entries):
        part = [entry for entry in entries if entry.split == split]
        pids = {entry.pid for entry in part} - {0}
        lines.append(f"{split:10}{len(part):10}{len(pids):12}{len({entry.camid for entry in part}):9}")
    return lines
