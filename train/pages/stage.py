"""The report as a stage: from runs and a dataset to one HTML file, and its figures as PNGs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dsa_app.errors import DsaError, TrainingError
from dsa_data.records import Record, read_manifest
from dsa_reid.atomic import write_atomic

from ..ablation.ceiling import ceiling, ceiling_measures
from ..evaluation.config import EvaluateConfig
from ..evaluation_stage import Task
from .findings import Findings, measure_run
from .page import Subject, render
from .stores import read_dataset

PAIRS = 200_000  # of query and gallery, up to which the ceiling of a rendered dataset is measured
PERFECT = "a perfect ranking."
TRUE_SURFACES = (
    "matching by the true surfaces that the rendered images show (Rank-k, mAP, mINP), else a perfect ranking."
)


class Written(NamedTuple):
    """The files of a report, and the runs that it measured."""

    page: Path
    figures: list[Path]
    runs: list[Findings]


def write_report(
    tasks: Sequence[Task], config: EvaluateConfig, iuv: Path, out: Path, count: int = 12, length: int = 10
) -> Written:
    """Measure runs on one dataset and write the page `out`, and PNGs in the folder of its name; return them.

    The same runs, dataset and versions give the same bytes.

    Args:
        tasks: one a run, of the same manifest.
        iuv: the maps of the dataset, which need not exist.
        count: best, worst and further queries.
        length: gallery images in a ranking.

    Raises TrainingError for a run that is named twice, and what `evaluation_stage.evaluate` raises.
    """
    first = tasks[0]
    runs = [
        measure_run(task, config, name, length)
        for task, name in zip(tasks, names([task.source for task in tasks]), strict=True)
    ]
    records = read_manifest(first.manifest)
    bound = _ceiling(first, records)
    subject = Subject(
        runs,
        read_dataset(records, iuv, first.dsap),
        records,
        first.dataset,
        first.root,
        first.manifest,
        config,
        bound,
        TRUE_SURFACES if bound else PERFECT,
        count,
    )
    page, figures = render(subject)
    folder = out.with_suffix("")
    written = [
        write_atomic(folder / f"{one.name}{'' if n == 1 else f'-{n}'}.png", plot.png)
        for one in figures.values()
        for n, plot in enumerate(one.plots, start=1)
    ]
    return Written(write_atomic(out, page.encode()), written, runs)


def names(sources: Sequence[Path]) -> list[str]:
    """Return a short name for each run, unique: the last folders of its path, as many as are needed.

    A folder that is named by a number alone, as those of seeds, is named with the one above.

    Raises TrainingError for a run that is named twice.
    """
    folders = [(source.parent if source.name == "model.pt" else source).absolute() for source in sources]
    twice = [path for n, path in enumerate(folders) if path.resolve() in [one.resolve() for one in folders[:n]]]
    if twice:
        raise TrainingError(f"{twice[0]} is named twice. Name each run once.")
    least = 2 if any(path.name.isdecimal() for path in folders) else 1
    for depth in range(least, max(len(path.parts) for path in folders) + 1):
        found = ["/".join(path.parts[-depth:]) for path in folders]
        if len(set(found)) == len(found):
            return found
    return [str(path) for path in folders]


def _ceiling(task: Task, records: Sequence[Record]) -> dict[str, float]:
    """Return the measures of matching by true surfaces; nothing for a dataset that is not rendered, or a large one."""
    sizes = [sum(record.split == split for record in records) for split in ("query", "gallery")]
    if sizes[0] * sizes[1] > PAIRS:
        return {}
    try:
        measures = ceiling_measures(ceiling(task.manifest, task.root))
    except DsaError:  # not rendered, or by other settings than the manifest's
        return {}
    return dict(measures["body_and_bag"])
