"""The figure of an ablation: every row with its seeds, and mAP against the rate of the estimator's errors."""

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

COLOURS = {3: "#3465a4", 4: "#3465a4", 5: "#3465a4", "control": "#888a85", "beyond": "#c17d11", "curve": "#c17d11"}


def check() -> None:
    """Raise TrainingError where matplotlib (extra `figure`) is missing: hours before it is needed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrainingError(
            "matplotlib is not installed, and the figure of an ablation needs it. Install it: "
            f"{install_command('figure')}"
        ) from None


def draw(rows: tables.Rows, out: Path) -> Path:
    """Draw `rows` to the PNG `out` and return it.

    Raises TrainingError where matplotlib is missing.
    """
    check()
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
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        colour, values = COLOURS[row["table"]], 100 * np.array(row["mAP"])
        axes.barh(place, values.mean(), color=colour, alpha=0.35, height=0.7)
        axes.plot(values, np.full(len(values), place), "o", color=colour, markersize=3.5)
        axes.text(values.max() + 0.8, place, f"{values.mean():.1f}", va="center", fontsize=8)
    if reference:
        mean = 100 * float(np.mean(reference.mAP))
        axes.axvline(mean, color="black", linewidth=0.8, linestyle=":", label=f"{tables.REFERENCE}, {mean:.1f}")
        axes.legend(loc="lower right", fontsize=8)
    kinds = [f"Table {row['table']}" if isinstance(row["table"], int) else row["table"] for row in rows]
    axes.set_yticks(places, [f"{row['name']}  ({kind})" for row, kind in zip(rows, kinds, strict=True)], fontsize=8)
    axes.set_ylim(-0.9, len(rows) - 0.1)
    axes.set_xlabel("mAP, percent; a dot a seed")
    axes.spines[["top", "right"]].set_visible(False)


def _curves(rows: tables.Rows) -> dict[str, list[tuple[float, list[float]]]]:
    """Return each curve by its row's name: rates, and at each the gain over two branches seed by seed, in points.

    The row itself stands at rate 1. Without two branches there is no gain to draw.
    """
    reference = tables.result(rows, tables.REFERENCE)
    found: dict[str, list[tuple[float, list[float]]]] = {}
    if reference is None:
        return found
    for row in rows:
        if row["table"] == "curve":
            found.setdefault(row["name"].rsplit(tables.AT_RATE, 1)[0], []).append((row["rate"], _gain(row, reference)))
    for name, points in found.items():
        points += [(1.0, _gain(row, reference)) for row in rows if row["name"] == name]
        points[:] = sorted(point for point in points if point[1])  # without a seed in common there is no gain
    return found


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
