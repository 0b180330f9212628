"""The figure of an ablation: every row with its seeds, and mAP against the rate of the estimator's errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import TrainingError
from data.whole import whole

from . import tables

COLOURS = {3: "#3465a4", 4: "#3465a4", 5: "#3465a4", "control": "#888a85", "beyond": "#c17d11", "curve": "#c17d11"}


def draw(rows: tables.Rows, out: Path) -> Path:
    """Draw `rows` to the PNG `out` and return it.

    Raises TrainingError where matplotlib is missing (extra `figure`).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError(
            f"matplotlib is not installed, so {out} is not drawn; the rows are written. Install it: pip install "
            "'dsa-reid[figure]', then dsa-train ablation-table."
        ) from None
    plain = [row for row in rows if row["table"] != "curve"]
    curves = _curves(rows)
    figure = Figure(figsize=(11 if curves else 7.5, 0.34 * len(plain) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if curves else 1, width_ratios=(3, 2) if curves else None, squeeze=False)[0]
    _draw_rows(axes[0], plain)
    if curves:
        _draw_curves(axes[1], curves)
    with whole(out) as part:
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
    axes.set_yticks(
        places, [f"{row['name']}  ({kind})" for row, kind in zip(rows, kinds, strict=True)], fontsize=8
    )
    axes.set_xlabel("mAP, percent; a dot a seed")
    axes.spines[["top", "right"]].set_visible(False)


def _curves(rows: tables.Rows) -> dict[str, list[Mapping[str, Any]]]:
    """Return the points of each curve by the name of its row: that row itself stands at rate 1."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["table"] == "curve":
            found.setdefault(row["name"].rsplit(", errors", 1)[0], []).append(row)
    for name, points in found.items():
        points += [{**row, "rate": 1.0} for row in rows if row["name"] == name]
        points.sort(key=lambda row: row["rate"])
    return found


def _draw_curves(axes: Any, curves: Mapping[str, list[Mapping[str, Any]]]) -> None:
    plain = {name: points for name, points in curves.items()}
    for name, points in plain.items():
        rates = [row["rate"] for row in points]
        means = [100 * float(np.mean(row["mAP"])) for row in points]
        (line,) = axes.plot(rates, means, "o-", markersize=4, label=name)
        for row in points:
            axes.plot([row["rate"]] * len(row["mAP"]), 100 * np.array(row["mAP"]), ".", color=line.get_color(), alpha=0.5)
    axes.set_xlabel("errors of the semantics, as a multiple of realistic ones")
    axes.set_ylabel("mAP, percent")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
