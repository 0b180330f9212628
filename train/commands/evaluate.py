"""`dsa-train evaluate`: Rank-k, mAP and mINP of a trained network, or of features and distances of any program."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError
from dsa_app.row_files import check_rows_file, write_rows

from .. import report, results
from ..evaluation.config import EvaluateConfig, Match
from . import options

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..evaluation.retrieval import Side
    from ..evaluation_stage import Measured, Task

FOREIGN = "features"  # stands for the dataset where features or distances are given
RANKING = 10  # gallery images in a row of the picture of --against


@dataclasses.dataclass(frozen=True)
class Given:
    """The files of another program that are evaluated, if any, and the options that go with them."""

    features: Path | None
    gallery_features: Path | None
    distances: Path | None
    labels: Path | None

    def check(self, source: Path | None, manifest: Path | None, by_view: bool) -> None:
        """Raise ConfigError for options that do not go together."""
        if self and (source or manifest or by_view):
            raise ConfigError("--run, --manifest and --views are for a run, and features or distances were given.")
        if self.features and self.distances:
            raise ConfigError("--features and --distances exclude each other. Give one.")
        if self.gallery_features and not self.features:
            raise ConfigError("--gallery-features goes with --features, the file of the queries.")
        if self.labels and not self:
            raise ConfigError("--labels goes with --features or --distances. Give the file that it labels.")

    def __bool__(self) -> bool:
        return bool(self.features or self.distances)


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
    for option, file in (("--per-query", per_query), ("--rankings", rankings)):
        if file:
            check_rows_file(file, option)
    if write_distances:
        from ..evaluation.distance_file import check_distance_file

        check_distance_file(write_distances, "--write-distances")
    if figure and not against:
        raise ConfigError("--figure renders what changed against another result. Name that: --against.")
    run = manifest, dsap, source
    subject = _of_files(given, settings, match) if given else _of_run(settings, *run, match, by_view)

    from .. import evaluation_stage

    measured = evaluation_stage.measure(*subject.sides, subject.config, between_cameras, subject.views)
    metrics, cmc, pairs, views = measured.evaluation
    path = _written(subject, measured, settings, out)
    more: dict[str, Any] = {"cameras": report.camera_measures(pairs)} if between_cameras else {}
    more |= {"views": report.view_measures(views)} if by_view else {}
    texts = [report.camera_table(pairs)] if between_cameras else []
    texts += [report.view_table(views)] if by_view else []
    texts += [str(path)] if path else []
    if same_or_not:
        decided = _same_or_not(subject, path)
        more["same_or_not"] = decided.measures
        texts += decided.texts
    if per_query:
        texts.append(str(write_rows(per_query, measured.queries)))
    if rankings:
        texts.append(str(write_rows(rankings, _ranking_rows(subject, top))))
    if write_distances:
        texts.append(str(_write_distances(subject, write_distances)))
    if against:
        beside = figure or (path or Path(FOREIGN)).with_name("against.png")
        compared = _compared(subject, measured, against, beside, required=figure is not None)
        more["against"] = compared.measures
        texts += compared.texts
    if as_json:
        click.echo(json.dumps({**metrics, "cmc": cmc.tolist(), **more}))
        return
    papers = ({}, "") if given else report.papers(metrics, settings.dataset)
    click.echo("\n".join([report.table(metrics, subject.title, *papers, foreign=bool(given)), *texts]))


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is evaluated: a run, or the files of another program.

    Args:
        sides: query and gallery, and the device to compare them on.
        task: of a run; None for files.
        source: the run that was named; None for the settings' own.
        title: of its row in the table.
        views: degrees of query and gallery, if asked for.
    """

    sides: tuple[Side, Side, torch.device]
    config: EvaluateConfig
    title: str
    task: Task | None = None
    source: Path | None = None
    views: tuple[np.ndarray, np.ndarray] | None = None


def _of_run(
    settings: Settings, manifest: Path | None, dsap: Path | None, source: Path | None, match: Match | None, views: bool
) -> Subject:
    console.artifacts(settings.dataset)  # refuses a name that is a path
    config = options.evaluate_config(settings, match)
    task = options.evaluation_task(settings, manifest, dsap, source)

    from .. import evaluation_stage

    angles = evaluation_stage.view_angles(task) if views else None  # first, since most datasets have none
    return Subject(evaluation_stage.query_and_gallery(task, config), config, settings.dataset, task, source, angles)


def _of_files(given: Given, settings: Settings, match: Match | None) -> Subject:
    config = settings.section("evaluate", EvaluateConfig)

    from ..foreign_stage import foreign_config, foreign_sides

    config = dataclasses.replace(config, match=match or config.match)
    config = foreign_config(config, given.distances is not None)
    sides = foreign_sides(given.features, given.gallery_features, given.distances, given.labels, config)
    return Subject(sides, config, (given.features or given.distances or Path(FOREIGN)).name)


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


def _ranking_rows(subject: Subject, top: int) -> list[dict[str, Any]]:
    from ..evaluation.per_query import ranking_rows
    from ..evaluation.rankings import rankings

    query, gallery, device = subject.sides
    return list(ranking_rows(rankings(query, gallery, subject.config, device, top)))


def _write_distances(subject: Subject, path: Path) -> Path:
    from ..evaluation.distance_file import write_distances
    from ..evaluation.retrieval import ranked

    query, gallery, device = subject.sides
    return write_distances(path, query.records, gallery.records, ranked(query, gallery, subject.config, device))


class Found(NamedTuple):
    """What was measured besides, for people and for programs."""

    texts: list[str]
    measures: dict[str, Any]


def _same_or_not(subject: Subject, metrics: Path | None) -> Found:
    """Measure same or not; with files beside metrics.json, if that was written."""
    from .. import evaluation_stage, same_or_not_report
    from ..evaluation.same_or_not import same_or_not

    query, gallery, device = subject.sides
    task, config = subject.task, subject.config
    calibration = evaluation_stage.calibration_of(task, config, gallery.records) if task else None
    found = same_or_not(query, gallery, subject.config, device, calibration)
    without = evaluation_stage.uncalibrated(config, gallery.records) if task else ""
    texts = [same_or_not_report.table(found, without)]
    if metrics is not None:
        texts.append(str(evaluation_stage.write_json(metrics.with_name("same_or_not.json"), found.measures())))
        if same_or_not_report.is_drawable():
            texts.append(str(same_or_not_report.write_figure(found, metrics.with_name("same_or_not.png"))))
    return Found(texts, found.measures())


def _compared(subject: Subject, measured: Measured, other: Path, picture: Path, required: bool) -> Found:
    """Compare with another run, or with a file of --per-query; render what changed where the images are known."""
    from .. import against, evaluation_stage
    from ..evaluation.rankings import rankings

    is_run = other.is_dir() or other.suffix == ".pt"
    if not is_run:
        found, sides = against.against(measured.queries, against.read_queries(other), str(other)), None
    else:
        if subject.task is None:
            raise ConfigError(
                "--against a run needs a run, and features or distances were given. Name a file of --per-query."
            )
        options.existing(other, "Name another run, or a file of --per-query: --against.")
        keep = subject.task.keep and subject.task.keep.with_name(other.stem)
        sides = evaluation_stage.query_and_gallery(
            dataclasses.replace(subject.task, source=other, keep=keep), subject.config
        )
        theirs = evaluation_stage.measure(*sides, subject.config)
        found = against.against(measured.queries, theirs.queries, str(other))
    texts = [against.table(found)]
    if subject.task is not None:
        ranked = [
            {one.query.key: one for one in rankings(query, gallery, subject.config, device, RANKING)}
            for query, gallery, device in ([subject.sides, sides] if sides else [subject.sides])
        ]
        page = against.write_page(found, ranked[0], ranked[1] if sides else {}, subject.task.root, picture)
        texts += [str(page)] if page else []
    elif required:
        raise ConfigError("--figure renders images, and features or distances have none. Leave it out.")
    return Found(texts, found.measures())
