"""The figure of a probe: mAP of each row, and the differences with their intervals."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from dsa_reid.atomic import atomic

from .table import COMPARED, CONTROLS, ORDER, Column, Probe

COLOURS = ("#3465a4", "#c17d11", "#4e9a06")


def is_installed() -> bool:
    """Return whether matplotlib (extra `figure`) is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_figure(probe: Probe, out: Path) -> Path:
    """Write the figure to the PNG `out` and return its path. matplotlib must be installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_rows(left, probe.columns)
    _draw_differences(right, probe.columns)
    figure.suptitle(f"{probe.about['trunk']}, maps of {Path(probe.about['maps']['file']).name}", fontsize=9)
    with atomic(out) as part:
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    return out


def _draw_rows(axes: Any, columns: list[Column]) -> None:
    rows = [row for row in ORDER if row in columns[0].mAP]
    height = 0.8 / len(columns)
    for n, (column, colour) in enumerate(zip(columns, COLOURS, strict=False)):
        at = np.arange(len(rows)) + (n - (len(columns) - 1) / 2) * height
        values = [100 * column.mAP[row] for row in rows]
        axes.barh(at, values, height, color=colour, label=column.name)
        for y, value in zip(at, values, strict=True):
            axes.text(value, y, f" {value:.1f}", va="center", fontsize=7)
    axes.set_yticks(np.arange(len(rows)), rows, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("mAP, percent")
    axes.legend(fontsize=8, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_differences(axes: Any, columns: list[Column]) -> None:
    rows = [row for row in COMPARED if row in columns[0].over]
    for n, (column, colour) in enumerate(zip(columns, COLOURS, strict=False)):
        at = np.arange(len(rows)) + (n - (len(columns) - 1) / 2) * 0.2
        for y, row in zip(at, rows, strict=True):
            one = column.over[row]
            axes.plot([100 * one.low, 100 * one.high], [y, y], color=colour, linewidth=1.5)
            axes.plot(100 * one.mean, y, "o", color=colour, markersize=4)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    names = [f"over {row}{' (control)' if row in CONTROLS else ''}" for row in rows]
    axes.set_yticks(np.arange(len(rows)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("own maps over others", fontsize=9)
    axes.set_xlabel("points of mAP")
    axes.spines[["top", "right"]].set_visible(False)
