"""`dsa-train evaluate`: Rank-k, mAP and mINP of a trained network, or of features and distances of any program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsa_app import console
from dsa_app.config import Settings

from .. import report, results
from ..evaluation.config import Match
from . import options
from .evaluate_outputs import Outputs
from .evaluated import FOREIGN, Given, Subject, subject_of_files, subject_of_run

if TYPE_CHECKING:
    from ..evaluation_stage import Measured


@click.command()
@console.with_settings(lambda others: FOREIGN if others["features"] or others["distances"] else None)
@options.data
@options.network
@click.option("--features", type=options.FILE, help="Features of any program, in place of a run.")
@click.option(
    "--gallery-features", type=options.FILE, help="Those of the gallery, if --features has the queries alone."
)
@click.option("--distances", type=options.FILE, help="A distance matrix of any program, a row a query.")
@click.option("--labels", type=options.FILE, help="CSV with path, pid, camid and split of their rows.")
@click.option("--out", type=console.OUTPUT, help="[artifacts/<dataset>/metrics.json]")
@click.option("--cameras", "between_cameras", is_flag=True, help="Also between every two cameras.")
@click.option("--views", "by_view", is_flag=True, help="Also by view difference (of the synthetic dataset).")
@click.option("--same-or-not", is_flag=True, help="Also: thresholds, ROC, open set, calibration; with a figure.")
@click.option("--per-query", type=console.OUTPUT, help="Write a row a query: .csv, .json or .parquet.")
@click.option("--rankings", type=console.OUTPUT, help="Write each query's nearest images: .csv, .json or .parquet.")
@click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="Images a query in --rankings.")
@click.option("--write-distances", type=console.OUTPUT, help="Write the whole distance matrix: .npy or .h5.")
@click.option("--against", type=options.FILE, help="Compare with another run or model, or a file of --per-query.")
@click.option("--figure", type=console.OUTPUT, help="The queries that changed most. [against.png beside --out]")
@options.json_alone
def evaluate(
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    source: Path | None,
    match: Match | None,
    features: Path | None,
    gallery_features: Path | None,
    distances: Path | None,
    labels: Path | None,
    out: Path | None,
    between_cameras: bool,
    by_view: bool,
    same_or_not: bool,
    per_query: Path | None,
    rankings: Path | None,
    top: int,
    write_distances: Path | None,
    against: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Measure Rank-1 to 10, mAP and mINP of a network or features.

    Features and distances may be those of another program.

    They are printed beside those of random rankings and of the paper.
    """
    given = Given(features, gallery_features, distances, labels)
    given.check(source, manifest, by_view)
    outputs = Outputs(between_cameras, by_view, same_or_not, per_query, rankings, top, write_distances, against, figure)
    outputs.check()
    run = manifest, dsap, source
    subject = subject_of_files(given, settings, match) if given else subject_of_run(settings, *run, match, by_view)

    from .. import evaluation_stage

    measured = evaluation_stage.measure(*subject.sides, subject.config, between_cameras, subject.views)
    metrics, cmc, *_ = measured.evaluation
    path = _written(subject, measured, settings, out)
    more = outputs.make(subject, measured, path)
    if as_json:
        click.echo(json.dumps({**metrics, "cmc": cmc.tolist(), **more.measures}))
        return
    papers = ({}, "") if given else report.papers(metrics, settings.dataset)
    click.echo("\n".join([report.table(metrics, subject.title, *papers, foreign=bool(given)), *more.texts]))


def _written(subject: Subject, measured: Measured, settings: Settings, out: Path | None) -> Path | None:
    """Write metrics.json, and a dataset's own run to its results; return the file, None if files are only printed."""
    from .. import evaluation_stage, run_settings

    metrics, cmc, *_ = measured.evaluation
    if subject.task is None:
        return evaluation_stage.write(out, metrics, cmc) if out else None
    source, artifacts = subject.source, console.artifacts(settings.dataset)
    experiment = run_settings.experiment_of(source) if source else options.run_name(settings)
    result = evaluation_stage.result_of(subject.task, subject.config, experiment, metrics)
    metrics["settings"] = evaluation_stage.metrics_settings(subject.task, result)
    if source is None:  # the table of experiments lists the dataset's own runs
        results.write(artifacts, result)
    return evaluation_stage.write(out or artifacts / "metrics.json", metrics, cmc)
