"""The measures of "same or not" as text and as a figure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from dsa_reid.atomic import atomic

from .evaluation.calibrate import Reliability
from .evaluation.pair_counts import Curve
from .evaluation.same_or_not import SameOrNot, area, equal_error_rate, rates
from .report import text_table

SAME, DIFFERENT, INK = "#0072b2", "#d55e00", "#3465a4"  # two that all eyes distinguish
LEAST = 1e-5  # false-match rate at the left end of the ROC
BARS = 80  # of the distributions


def table(found: SameOrNot, without: str = "") -> str:
    """Return the measures as text; rates and shares in percent.

    Args:
        without: why these distances have no probabilities, whatever the model; empty if they may have.
    """
    curve = found.pairs.curve
    lines = [
        f"Same person or not, over {int(curve.same.sum())} pairs of the same and {int(curve.different.sum())} of "
        f"different people: AUC {found.auc:.3f}, equal error rate {100 * found.eer:.1f}%."
    ]
    rows = {
        f"{100 * one.rate:g}%": [
            f"{one.distance:.3f}", f"[{one.low:.3f},", f"{one.high:.3f}]", f"{100 * one.share:.1f}"
        ]
        for one in found.thresholds
    }  # fmt: skip
    if rows:
        lines += [
            "False-match rate, the greatest distance that keeps it, and the share of same pairs that are so near:",
            text_table(["distance", "95% from", "to", "same, %"], rows),
        ]
    if found.pairs.by_cameras:
        lines += ["By cameras, of query and gallery:", _camera_table(found.pairs.by_cameras)]
    shares = ", ".join(f"{100 * share:.1f}% at {100 * rate:g}%" for rate, share in found.open_set.detected)
    lines.append(f"Open set, people found first at a rate of false alarms for people who are not there: {shares}.")
    return "\n".join(lines + _calibrated(found, without))


def write_figure(found: SameOrNot, out: Path) -> Path:
    """Write the figure to the PNG `out` and return its path. matplotlib must be installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = 3 if found.reliability else 2
    figure = Figure(figsize=(4.6 * count, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count)
    draw_distances(axes[0], found)
    draw_roc(axes[1], found.pairs.curve)
    if found.reliability:
        draw_reliability(axes[2], found.reliability, found.open_set.reliability)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    with atomic(out) as part:
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    return out


def is_drawable() -> bool:
    """Return whether matplotlib (extra `figure`) is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _calibrated(found: SameOrNot, without: str) -> list[str]:
    """Return lines about probabilities; one that says that there are none."""
    if found.reliability is None and without:
        return [f"No probabilities: {without}."]
    if found.reliability is None:
        return [
            "Not calibrated: distances give no probabilities (dsa-train run --set train.calibrate=0.2, or dsa-train "
            "calibrate)."
        ]
    lines = [
        f"Calibration of P(same): expected error {found.reliability.ece:.3f}; a perfect map would show "
        f"{found.reliability.floor:.3f} on so many pairs."
    ]
    if found.open_set.reliability:
        lines.append(f"Calibration of P(in the gallery): expected error {found.open_set.reliability.ece:.3f}.")
    if found.open_set.reliability and not found.open_set.nobody:
        lines.append("No search is answered 'nobody here': these distances do not tell who is absent.")
    if nobody := found.open_set.nobody:
        lines.append(
            f"'Nobody here' in {nobody['searches']:.0f} searches: promised right in {100 * nobody['promised']:.1f}%, "
            f"is in {100 * nobody['right']:.1f}% [{100 * nobody['low']:.1f}, {100 * nobody['high']:.1f}]."
        )
    return lines


def _camera_table(curves: dict[tuple[int, int], Curve]) -> str:
    rows = {
        f"{q} {g}": [f"{area(curve):.3f}", f"{100 * equal_error_rate(curve):.1f}", str(int(curve.same.sum()))]
        for (q, g), curve in curves.items()
    }
    return text_table(["AUC", "EER, %", "same pairs"], rows)


def draw_distances(axes: Any, found: SameOrNot) -> None:
    """Draw how distances of the same and of different people are distributed, with the thresholds."""
    curve = found.pairs.curve
    edges = np.linspace(curve.middles[0], curve.middles[-1], BARS + 1)
    for counts, colour, name in ((curve.different, DIFFERENT, "different"), (curve.same, SAME, "same person")):
        axes.hist(curve.middles, edges, weights=counts / counts.sum(), color=colour, alpha=0.55, label=name)
    for one in found.thresholds:
        axes.axvline(one.distance, color="black", linewidth=0.8, linestyle=":")
        axes.text(
            one.distance, axes.get_ylim()[1], f"{100 * one.rate:g}%", fontsize=7, ha="right", va="top", rotation=90
        )
    axes.set_title("distances of pairs, false-match rates dotted", fontsize=9)
    axes.set_xlabel("distance")
    axes.set_ylabel("share of pairs")
    axes.legend(fontsize=8, loc="upper right")


def draw_roc(axes: Any, curve: Curve) -> None:
    """Draw the ROC curve, false matches on a logarithmic scale, and chance."""
    false, true = rates(curve)
    axes.step(np.maximum(false, LEAST), 100 * true, color=INK, where="post")
    axes.plot(np.geomspace(LEAST, 1, 50), 100 * np.geomspace(LEAST, 1, 50), color="grey", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(LEAST, 1)
    axes.set_ylim(0, 101)
    axes.set_title(f"ROC, AUC {area(curve):.3f} (chance dotted)", fontsize=9)
    axes.set_xlabel("false-match rate")
    axes.set_ylabel("true-match rate, percent")


def draw_reliability(axes: Any, pairs: Reliability, searches: Reliability | None) -> None:
    """Draw the reliability diagram of P(same), and of P(in the gallery) where there are searches."""
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    for one, colour, name in ((pairs, INK, "same person"), (searches, "#c17d11", "in the gallery")):
        if one is not None:
            there = one.weight > 0
            axes.plot(one.stated[there], one.true[there], "-", color=colour, linewidth=1)
            axes.scatter(one.stated[there], one.true[there], 200 * one.weight[there] + 4, color=colour, label=name)
    axes.set_title(f"reliability, expected error {pairs.ece:.3f}", fontsize=9)
    axes.set_xlabel("probability that is stated")
    axes.set_ylabel("share that it is true of")
    axes.legend(fontsize=8, loc="upper left")
