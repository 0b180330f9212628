"""The figure of an ablation: every row with its seeds, and mAP over the error rate of the semantics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import TrainingError
from dsa_reid.atomic import atomic
from dsa_reid.extras import install_command

from . import tables
from .claims import Result, differences

COLOURS = dict(zip(tables.KINDS, ["#3465a4"] * 3 + ["#888a85", "#c17d11", "#4e9a06", "#c17d11"], strict=True))


def check_installed() -> None:
    """Raise TrainingError if matplotlib (extra `figure`) is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrainingError(
            "matplotlib is not installed, and the figure of an ablation needs it. Install it: "
            f"{install_command('figure')}"
        ) from None


def write_figure(rows: tables.Rows, out: Path) -> Path:
    """Write the figure of `rows` to the PNG `out` and return its path.

    Raises TrainingError if matplotlib is not installed.
    """
    check_installed()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plain = [row for row in rows if row["table"] != "curve"]
    curves = _curves(rows)
    figure = Figure(figsize=(11 if curves else 7.5, 0.34 * len(plain) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if curves else 1, width_ratios=(3, 2) if curves else None, squeeze=False)[0]
    _draw_rows(axes[0], plain)
    if curves:
        _draw_curves(axes[1], curves)
    with atomic(out) as part:
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    return out


def _draw_rows(axes: Any, rows: tables.Rows) -> None:
    reference = tables.result(rows, tables.REFERENCE)
    heights = np.arange(len(rows))[::-1]
    for height, row in zip(heights, rows, strict=True):
        colour, values = COLOURS[row["table"]], 100 * np.array(row["mAP"])
        axes.barh(height, values.mean(), color=colour, alpha=0.35, height=0.7)
        axes.plot(values, np.full(len(values), height), "o", color=colour, markersize=3.5)
        axes.text(values.max() + 0.8, height, f"{values.mean():.1f}", va="center", fontsize=8)
    if reference:
        mean = 100 * float(np.mean(reference.mAP))
        axes.axvline(mean, color="black", linewidth=0.8, linestyle=":", label=f"{tables.REFERENCE}, {mean:.1f}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)  # above the bars
    kinds = [f"Table {row['table']}" if isinstance(row["table"], int) else row["table"] for row in rows]
    axes.set_yticks(heights, [f"{row['name']}  ({kind})" for row, kind in zip(rows, kinds, strict=True)], fontsize=8)
    axes.set_ylim(-0.9, len(rows) - 0.1)
    axes.set_xlabel("mAP, percent; a dot a seed")
    axes.spines[["top", "right"]].set_visible(False)


def _curves(rows: tables.Rows) -> dict[str, list[tuple[float, list[float]]]]:
    """Return each curve by its row's name: error rates, and at each the gain over two branches by seed, in points.

    The row itself has the rate 1. Without results of two branches there are no curves.
    """
    reference = tables.result(rows, tables.REFERENCE)
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    if reference is None:
        return curves
    for row in rows:
        if row["table"] == "curve":
            curves.setdefault(row["name"].rsplit(tables.AT_RATE, 1)[0], []).append((row["rate"], _gain(row, reference)))
    for name, points in curves.items():
        # A point without a seed in common with two branches has no gain.
        points += [(1.0, _gain(row, reference)) for row in rows if row["name"] == name]
        points[:] = sorted(point for point in points if point[1])
    return curves


def _gain(row: Mapping[str, Any], reference: Result) -> list[float]:
    return [100 * gain for gain in differences(tables.as_result(row), reference)]


def _draw_curves(axes: Any, curves: Mapping[str, list[tuple[float, list[float]]]]) -> None:
    for name, points in curves.items():
        (line,) = axes.plot(
            [rate for rate, _ in points], [float(np.mean(gains)) for _, gains in points], "o-", markersize=4, label=name
        )
        for rate, gains in points:
            axes.plot([rate] * len(gains), gains, ".", color=line.get_color(), alpha=0.5)
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("errors of the semantics (1: realistic)")
    axes.set_ylabel(f"mAP over {tables.REFERENCE!r}, points")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
