"""Figures of pairs of images: distances with thresholds, ROC, and reliability of the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..evaluation.same_or_not import SameOrNot, rates
from ..same_or_not_report import draw_distances, draw_reliability, draw_roc
from .figure import Figure, Table, in_percent, percent, rendered_plots, run_title
from .findings import Findings

RATES = (1e-3, 1e-2, 1e-1)  # of false matches, in the table beside the ROC


def distances(runs: Sequence[Findings]) -> Figure:
    """Return the distributions of distances of the same and of different people, with the thresholds."""
    rows, words = [], []
    for run in runs:
        for one in run.pairs.thresholds:
            rows.append(
                [
                    run.name,
                    f"{100 * one.rate:g}%",
                    f"{one.distance:.3f}",
                    f"{one.low:.3f} to {one.high:.3f}",
                    in_percent(one.share),
                ]
            )
            words.append(
                f"{run.name}: below a distance of {one.distance:.3f}, {percent(one.share)} of the pairs of one person "
                f"and {100 * one.rate:g}% of those of different people"
            )
    return Figure(
        "distances",
        "Distances of the same and of different people",
        "Pairs below a threshold count as one person; each dotted line is the threshold of a false-match rate.",
        "; ".join(words) + "." if words else "Too few pairs for a threshold.",
        Table(["run", "false-match rate", "threshold", "95% interval", "same pairs below it, percent"], rows),
        rendered_plots([_for_run(draw_distances, run.pairs, run.name, runs) for run in runs]),
    )


def roc(runs: Sequence[Findings]) -> Figure:
    """Return the ROC curves."""
    rows = []
    for run in runs:
        false, true = rates(run.pairs.pairs.curve)
        at = [float(true[max(0, int(np.searchsorted(false, rate, side="right")) - 1)]) for rate in RATES]
        rows.append([run.name, f"{run.pairs.auc:.3f}", in_percent(run.pairs.eer), *map(in_percent, at)])
    rows.append(["chance", "0.500", "50.0", *(in_percent(rate) for rate in RATES)])
    words = "; ".join(f"{name}: area {area}, equal error rate {eer}%" for name, area, eer, *_ in rows)
    return Figure(
        "roc",
        "Receiver operating characteristic (ROC)",
        "The share of pairs of one person that is accepted, by the share of pairs of different people that is; dotted: "
        "chance.",
        words + ".",
        Table(
            ["run", "area (AUC)", "equal error rate, %", *(f"accepted at {100 * rate:g}%, %" for rate in RATES)], rows
        ),
        rendered_plots([_for_run(draw_roc, run.pairs.pairs.curve, run.name, runs) for run in runs]),
    )


def reliability(runs: Sequence[Findings]) -> Figure | None:
    """Return the reliability diagrams of the runs that are calibrated; None if none is."""
    known = [run for run in runs if run.pairs.reliability is not None]
    if not known:
        return None
    rows, words = [], []
    for run in known:
        assert run.pairs.reliability is not None, "known"
        measured = run.pairs.reliability.measures()
        words.append(f"{run.name}: expected calibration error {measured['ece']:.3f}")
        rows += [
            [run.name, f"{one['stated']:.2f}", f"{one['true']:.2f}", in_percent(one["weight"])]
            for one in measured["bins"]
        ]

    def drawn(run: Findings) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            assert run.pairs.reliability is not None, "known"
            draw_reliability(axes, run.pairs.reliability, run.pairs.open_set.reliability)
            axes.set_title(run_title(run.name, axes.get_title(), known), fontsize=9)

        return draw

    return Figure(
        "reliability",
        "Reliability of the probabilities",
        "Of pairs that are given a probability, the share that shows one person; on the dotted line both agree.",
        "; ".join(words) + ".",
        Table(["run", "probability stated", "share that is true", "weight, percent"], rows),
        rendered_plots([drawn(run) for run in known]),
    )


def _for_run(
    draw: Callable[[Any, Any], None], value: SameOrNot | Any, name: str, runs: Sequence[Findings]
) -> Callable[[Any], None]:
    def drawn(axes: Any) -> None:
        draw(axes, value)
        axes.set_title(run_title(name, axes.get_title(), runs), fontsize=9)

    return drawn
