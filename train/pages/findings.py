"""What the report shows of one run: its measures, chance, distances, cameras, rankings, regions and losses."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsa_app.errors import TrainingError
from dsa_reid.calibration import Calibration
from dsa_reid.regions import explain

from .. import report, run_settings
from ..evaluation.chance import chance_cmc, chance_minp
from ..evaluation.config import EvaluateConfig
from ..evaluation.metrics import Result
from ..evaluation.rankings import Ranking, rankings
from ..evaluation.retrieval import Side, compare
from ..evaluation.same_or_not import SameOrNot, same_or_not
from ..evaluation_stage import (
    Task,
    calibration_of,
    metrics_settings,
    query_and_gallery,
    result_of,
    summary,
    uncalibrated,
)
from ..report import Papers

SAMPLE = 1024  # gallery images that say what agreement in a region is usual
Series = list[tuple[float, float]]  # step and value


@dataclasses.dataclass(frozen=True)
class Chance:
    """What random rankings of the same images would show, fractions; `cmc` is (K,)."""

    cmc: np.ndarray
    mAP: float  # noqa: N815 - the field's name
    mINP: float  # noqa: N815


@dataclasses.dataclass(frozen=True)
class Findings:
    """One run, measured.

    Args:
        name: that the page shows, unique on it.
        source: the run's folder, or its model.pt.
        metrics: the content of metrics.json.
        papers, without: rows of the paper beside it, and why there is none; see `report.papers`.
        cmc: (K,), fractions.
        cameras: measures by (query camera, gallery camera).
        pairs: distances of the same and of different people.
        rankings: of all queries, each with its nearest images.
        agreement: of the hits by region, float (K, 8), by the query's key; empty where features have no local part.
        log: series by name, as in "train/loss".
        made: what the model was made with; None if it is not known.
        calibration: of the model; None if it is not calibrated, or other distances are compared.
        uncalibrated: why these distances have no probabilities, whatever the model; empty if they may have.
    """

    name: str
    source: Path
    metrics: Mapping[str, Any]
    papers: Papers
    without: str
    cmc: np.ndarray
    chance: Chance
    cameras: Mapping[tuple[int, int], Result]
    pairs: SameOrNot
    rankings: Sequence[Ranking]
    agreement: Mapping[str, np.ndarray]
    log: Mapping[str, Series]
    made: run_settings.RunSettings | None
    calibration: Calibration | None
    uncalibrated: str = ""


def measure_run(task: Task, config: EvaluateConfig, name: str, length: int) -> Findings:
    """Measure a run on query and gallery. Errors as for `evaluation_stage.evaluate`.

    Args:
        name: that the page shows.
        length: gallery images in a ranking.
    """
    query, gallery, device = query_and_gallery(task, config)
    compared = compare(query, gallery, config, device, between_cameras=True)
    measures = summary(compared.result, compared.chance, len(gallery.records))
    experiment = run_settings.experiment_of(task.source)
    measures["settings"] = metrics_settings(task, result_of(task, config, experiment, measures))
    papers, without = report.papers(measures, task.dataset)
    calibration = calibration_of(task, config, gallery.records)
    found = rankings(query, gallery, config, device, length)
    return Findings(
        name,
        task.source,
        measures,
        papers,
        without,
        compared.result.cmc,
        Chance(chance_cmc(compared.matches), compared.chance, chance_minp(compared.matches)),
        compared.pairs,
        same_or_not(query, gallery, config, device, calibration),
        found,
        _agreement(query, gallery, found),
        read_log(task.source),
        run_settings.read(task.source),
        calibration,
        uncalibrated(config, gallery.records),
    )


def _agreement(query: Side, gallery: Side, found: Sequence[Ranking]) -> dict[str, np.ndarray]:
    """Return how far each body region of each hit agrees with its query, see `dsa_reid.explain`; empty without regions.

    The local part must come last in a feature, which is not so where visibilities or a second stream follow it.
    """
    if list(query.parts)[-1:] != ["local"]:
        return {}
    step = max(1, math.ceil(len(gallery.records) / SAMPLE))
    sample = torch.from_numpy(_rows(gallery, range(0, len(gallery.records), step)))
    row = {record.key: index for index, record in enumerate(gallery.records)}
    agreement = {}
    for index, ranking in enumerate(found):
        feature = torch.from_numpy(np.array(query.features[index : index + 1][0], np.float32))
        hits = torch.from_numpy(_rows(gallery, [row[hit.record.key] for hit in ranking.hits]))
        agreement[ranking.query.key] = explain(feature, hits, sample, dict(query.parts)).agreement.numpy()
    return agreement


def _rows(side: Side, indices: Sequence[int]) -> np.ndarray:
    """Return rows of features that may be on disk, float32 (n, D)."""
    return np.concatenate([np.asarray(side.features[index : index + 1], np.float32) for index in indices])


def read_log(source: Path) -> dict[str, Series]:
    """Return what DVCLive logged of a training, by name; nothing where there is no log. Raises TrainingError."""
    folder = (source if source.is_dir() else source.parent) / "live" / "plots" / "metrics"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): _series(path) for path in sorted(folder.rglob("*.tsv"))
    }


def _series(path: Path) -> Series:
    remedy = "Remove the folder live of this run, which holds its log alone."
    try:
        with path.open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file, delimiter="\t")
        return [(float(row[0]), float(row[-1])) for row in rows]
    except (ValueError, IndexError, UnicodeDecodeError, csv.Error):
        raise TrainingError(
            f"{path} is not a log of DVCLive: expected a step and a number in each line. {remedy}"
        ) from None
