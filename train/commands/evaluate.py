"""`dsa-train evaluate`: Rank-k, mAP and mINP of a trained network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dsa_app import console
from dsa_app.config import Settings

from .. import report, results
from ..evaluation.config import Match
from . import options


@click.command()
@console.with_settings()
@options.data
@options.network
@click.option("--out", type=options.FILE, help="[artifacts/<dataset>/metrics.json]")
@click.option("--cameras", "between_cameras", is_flag=True, help="Also between every two cameras.")
@click.option("--views", "by_view", is_flag=True, help="Also by view difference (of the synthetic dataset).")
@options.json_alone
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
    """Measure Rank-1, 5 and 10, mAP and mINP of a network.

    They are printed beside those of random rankings and of the paper.
    """
    artifacts = console.artifacts(settings.dataset)
    config = options.evaluate_config(settings, match)
    task = options.evaluation_task(settings, manifest, dsap, source)

    from .. import evaluation_stage, run_settings

    metrics, cmc, pairs, views = evaluation_stage.evaluate(task, config, between_cameras, by_view)
    experiment = run_settings.experiment_of(source) if source else options.run_name(settings)
    result = evaluation_stage.result_of(task, config, experiment, metrics)
    beside = {"dataset": settings.dataset, "manifest": result.tested, "paper": evaluation_stage.other_than_papers(task)}
    metrics["settings"] = result.summary() | beside
    if source is None:  # the table of experiments lists the dataset's own runs
        results.write(artifacts, result)
    path = evaluation_stage.write(out or artifacts / "metrics.json", metrics, cmc)
    if as_json:
        more = {"cameras": report.camera_measures(pairs)} if between_cameras else {}
        more |= {"views": report.view_measures(views)} if by_view else {}
        click.echo(json.dumps({**metrics, "cmc": cmc.tolist(), **more}))
        return
    click.echo(report.table(metrics, settings.dataset, *report.papers(metrics, settings.dataset)))
    if between_cameras:
        click.echo(report.camera_table(pairs))
    if by_view:
        click.echo(report.view_table(views))
    click.echo(path)
