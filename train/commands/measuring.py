"""How good a network is: `dsa-train evaluate`, `rank` and `report`; how good one could be: `ceiling`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_data.images import write_png
from dsa_data.sets import dataset, dataset_root
from dsap.config import WarpConfig

from .. import report
from ..ablation import rows as experiments
from ..ablation.ceiling import ceiling, ceiling_measures, ceiling_table
from ..ablation.published import published
from ..device import choose_device
from ..evaluation import rankings
from ..evaluation.config import EvaluateConfig, Match
from ..evaluation_stage import Task, protocol, query_and_gallery, write, write_json
from ..evaluation_stage import evaluate as measure
from .options import data_options, network_options, run_folder, run_name

SOME = click.IntRange(min=1)


@click.command()
@console.with_settings()
@data_options
@network_options
@click.option("--out", type=click.Path(path_type=Path), help="[artifacts/<dataset>/metrics.json]")
@click.option("--cameras", "between_cameras", is_flag=True, help="Also between every two cameras.")
@click.option("--views", "by_view", is_flag=True, help="Also by view difference (of the synthetic dataset).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
def evaluate(
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    source: Path | None,
    match: Match | None,
    out: Path | None,
    between_cameras: bool,
    by_view: bool,
    as_json: bool,
) -> None:
    """Measure a trained network: Rank-1, 5, 10, mAP and mINP, beside chance and the paper."""
    made = console.artifacts(settings.dataset)
    config = _evaluate_config(settings, match)
    found, cmc, pairs, views = measure(_task(settings, manifest, dsap, source), config, between_cameras, by_view)
    path = write(out or made / "metrics.json", found, cmc)
    plain = not protocol(dataclasses.replace(config, gallery="whole"))  # what the paper's tables compare
    if source is None and plain:
        write_json(experiments.result_file(made, run_name(settings), config.match), found)
    if as_json:
        more = {"cameras": report.camera_measures(pairs)} if between_cameras else {}
        more |= {"views": report.view_measures(views)} if by_view else {}
        click.echo(json.dumps({**found, "cmc": cmc.tolist(), **more}))
        return
    click.echo(report.table(found, settings.dataset, published(settings.dataset, settings.experiment, config.match)))
    if between_cameras:
        click.echo(report.camera_table(pairs))
    if by_view:
        click.echo(report.view_table(views))
    click.echo(path)


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@console.with_settings()
@data_options
@network_options
@click.option("--count", type=SOME, default=10, show_default=True, help="Of best and worst, where no KEY is given.")
@click.option("--length", type=SOME, default=10, show_default=True, help="How many gallery pictures to show.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder. [artifacts/<dataset>/rankings]")
def rank(
    keys: tuple[str, ...],
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    source: Path | None,
    match: Match | None,
    count: int,
    length: int,
    out: Path | None,
) -> None:
    """Draw what the gallery answers to queries, by KEY as in the manifest, or to the best and the worst ten."""
    config = _evaluate_config(settings, match)
    task = _task(settings, manifest, dsap, source)
    found = rankings.rankings(*query_and_gallery(task, config)[:2], config, choose_device(config.device), length)
    best, worst = rankings.best_and_worst(found, count)
    pages = {"rank": rankings.select(found, keys)} if keys else {"best": best, "worst": worst}
    for name, rows in pages.items():
        page = rankings.page(rows, task.root)
        click.echo(write_png((out or console.artifacts(settings.dataset) / "rankings") / f"{name}.png", page))


@click.command("report")
@console.with_settings()
@click.option(
    "--mean", "files", multiple=True, type=click.Path(path_type=Path), help="Of these metrics.json, a split each."
)
def report_(settings: Settings, files: tuple[Path, ...]) -> None:
    """Print the last measures again, and where everything lies that was made."""
    made = console.artifacts(settings.dataset)
    match = settings.section("evaluate", EvaluateConfig).match
    found = report.mean_of(files) if files else report.read(made / "metrics.json")
    click.echo(report.table(found, settings.dataset, published(settings.dataset, settings.experiment, match)))
    for path in () if files else report.made(made, run_folder(settings)):
        click.echo(path)


@click.command("ceiling")
@console.with_settings(default="synthetic")
@click.option("--manifest", type=click.Path(path_type=Path), help="[artifacts/<dataset>/manifest.csv]")
@click.option("--out", type=click.Path(path_type=Path), help="[artifacts/<dataset>/ceiling.json]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
def ceiling_(settings: Settings, manifest: Path | None, out: Path | None, as_json: bool) -> None:
    """Measure what matching by the true surfaces reaches, where both pictures of the synthetic dataset show them."""
    made = console.artifacts(settings.dataset)
    found = ceiling(manifest or made / "manifest.csv", dataset_root(settings.dataset))
    measures = ceiling_measures(found)
    path = write_json(out or made / "ceiling.json", measures)
    if as_json:
        click.echo(json.dumps(measures))
        return
    click.echo(ceiling_table(found))
    click.echo(path)


COMMANDS = (evaluate, rank, report_, ceiling_)


def _task(settings: Settings, manifest: Path | None, dsap: Path | None, source: Path | None) -> Task:
    made = console.artifacts(settings.dataset)
    return Task(
        manifest or made / "manifest.csv",
        dataset_root(settings.dataset),
        dsap or made / "dsap.h5",
        source or run_folder(settings),
        settings.section("warp", WarpConfig),
        made / "features" / (source.stem if source else run_name(settings)),
        settings.dataset,
    )


def _evaluate_config(settings: Settings, match: Match | None) -> EvaluateConfig:
    """Return the settings of the evaluation, with the protocol that the dataset has."""
    config = settings.section("evaluate", EvaluateConfig)
    gallery = dataset(settings.dataset).gallery if config.gallery == "auto" else config.gallery
    return dataclasses.replace(config, gallery=gallery, match=match or config.match)
