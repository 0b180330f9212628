"""What `dsa-train evaluate` measures and writes on request: by cameras, same or not, rows, and a comparison."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dsa_app.errors import ConfigError
from dsa_app.row_files import check_rows_file, write_rows

from .. import report
from . import options
from .evaluated import FOREIGN, Subject

if TYPE_CHECKING:
    from ..evaluation_stage import Measured

RANKING = 10  # gallery images in a row of the figure of --against


class Found(NamedTuple):
    """What was measured besides: texts for people, and measures by their names for programs."""

    texts: list[str]
    measures: dict[str, Any]

    def add(self, name: str, other: Found) -> None:
        """Add the texts of another, and its measures under a name."""
        self.texts.extend(other.texts)
        self.measures[name] = other.measures


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What is measured and written besides Rank-k, mAP and mINP; fields are the command's options."""

    between_cameras: bool
    by_view: bool
    same_or_not: bool
    per_query: Path | None
    rankings: Path | None
    top: int
    write_distances: Path | None
    against: Path | None
    figure: Path | None

    def check(self) -> None:
        """Raise ConfigError, before any work, for a file of an unknown form and for options that need another."""
        for option, file in (("--per-query", self.per_query), ("--rankings", self.rankings)):
            if file:
                check_rows_file(file, option)
        if self.write_distances:
            from ..evaluation.distance_file import check_distance_file

            check_distance_file(self.write_distances, "--write-distances")
        if self.figure and not self.against:
            raise ConfigError("--figure renders what changed against another result. Name that: --against.")

    def make(self, subject: Subject, measured: Measured, metrics: Path | None) -> Found:
        """Measure and write them; return the texts to print, and the measures by their names in JSON.

        Args:
            metrics: the file metrics.json, beside which files without a name of their own are written; None if it was
                not written.
        """
        found = self._by_camera_and_view(measured)
        found.texts.extend([str(metrics)] if metrics else [])
        if self.same_or_not:
            found.add("same_or_not", _same_or_not(subject, metrics))
        if self.per_query:
            found.texts.append(str(write_rows(self.per_query, measured.queries)))
        if self.rankings:
            found.texts.append(str(write_rows(self.rankings, _ranking_rows(subject, self.top))))
        if self.write_distances:
            found.texts.append(str(_write_distances(subject, self.write_distances)))
        if self.against:
            figure = self.figure or (metrics or Path(FOREIGN)).with_name("against.png")
            required = self.figure is not None
            found.add("against", _compared(subject, measured, self.against, figure, required))
        return found

    def _by_camera_and_view(self, measured: Measured) -> Found:
        _, _, pairs, views = measured.evaluation
        found = Found([], {})
        if self.between_cameras:
            found.texts.append(report.camera_table(pairs))
            found.measures["cameras"] = report.camera_measures(pairs)
        if self.by_view:
            found.texts.append(report.view_table(views))
            found.measures["views"] = report.view_measures(views)
        return found


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


def _compared(subject: Subject, measured: Measured, other: Path, figure: Path, required: bool) -> Found:
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
        page = against.write_page(found, ranked[0], ranked[1] if sides else {}, subject.task.root, figure)
        texts += [str(page)] if page else []
    elif required:
        raise ConfigError("--figure renders images, and features or distances have none. Leave it out.")
    return Found(texts, found.measures())
