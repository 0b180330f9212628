"""The figure of a comparison: mAP over the time of an image, a panel for each dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsa_app.errors import TrainingError
from dsa_app.wording import shortened
from dsa_reid.atomic import atomic
from dsa_reid.extras import install_command

from ..recipes import FOLDER, GUIDED
from .rows import Row

COLOURS = {True: "#4e9a06", False: "#3465a4", None: "#888a85"}
WORDS = {True: "trained with the guide", False: "without", None: "not known"}
WIDTH, HEIGHT = 6.5, 4.5  # of a panel, in inches
BESIDE = 1.5  # times another point's milliseconds, beyond which labels do not meet
LETTERS, PANEL = 30, 70  # letters of a line beside a point, and below or above a panel
MARKS = " /-_+."  # that a title may be broken after
NEAR = 0.035  # of the height of a panel, below which labels would overlap


def check_installed() -> None:
    """Raise TrainingError if matplotlib (extra `figure`) is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrainingError(
            "matplotlib is not installed, and the figure of a comparison needs it. Install it: "
            f"{install_command('figure')}; or leave the figure out: --no-figure."
        ) from None


def write_figure(rows: Sequence[Row], out: Path) -> Path:
    """Write the figure to the PNG `out` and return its path. A row without a result is left out.

    Raises TrainingError if matplotlib is not installed.
    """
    check_installed()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [row for row in rows if row.mAP is not None]
    datasets = list(dict.fromkeys(row.dataset for row in measured))
    figure = Figure(figsize=(WIDTH * len(datasets), HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(datasets), squeeze=False)[0], datasets, strict=True):
        _draw(axes, [row for row in measured if row.dataset == name], name)
    with atomic(out) as part:
        figure.savefig(part, dpi=110, format="png", metadata={"Software": None})
    return out


def _draw(axes: Any, rows: Sequence[Row], name: str) -> None:
    timed = [row for row in rows if row.images_per_second]
    for row in rows:
        if not row.images_per_second:  # features of which no time is known
            title = wrapped(row.model)
            axes.axhline(_percent(row), color=COLOURS[None], linewidth=0.8, linestyle=":", label=title)
    shown = set()
    for row in timed:
        label = None if row.guide in shown else WORDS[row.guide]
        shown.add(row.guide)
        axes.plot(_milliseconds(row), _percent(row), "o", color=COLOURS[row.guide], markersize=6, label=label, zorder=3)
    by_title = {row.model: row for row in timed}
    for row in timed:
        if (guided := by_title.get(row.model + GUIDED)) is not None:
            ends = [(one(row), one(guided)) for one in (_milliseconds, _percent)]
            axes.plot(*ends, color="black", linewidth=0.8, alpha=0.4)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    _label(axes, timed)
    axes.xaxis.set_major_formatter(_plain_number)
    axes.xaxis.set_minor_formatter(_of_some)
    axes.tick_params(axis="x", which="minor", labelsize=7)
    machines = sorted({row.machine for row in timed})
    axes.set_xlabel("\n".join(["milliseconds an image", *map(wrapped_name, machines)]), fontsize=8)
    axes.set_ylabel("mAP, percent")
    axes.set_title(wrapped_name(name), fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="best")


def _label(axes: Any, rows: Sequence[Row]) -> None:
    """Write the models' names beside their points: on the side with more room, moved up where two would overlap."""
    bottom, top = axes.get_ylim()
    least = NEAR * (top - bottom)
    start, end = map(math.log, axes.get_xlim())
    placed: list[tuple[float, float, int]] = []  # of the labels so far: milliseconds, height, and lines
    for row in sorted(rows, key=_percent):
        time, at, name = _milliseconds(row), _percent(row), wrapped(row.model.removeprefix(FOLDER))
        lines = name.count("\n") + 1
        for other, height, beside in placed:
            if lines + beside > 2 or max(time, other) < BESIDE * min(time, other):
                at = max(at, height + least * (lines + beside) / 2)
        placed.append((time, at, lines))
        right = math.log(time) < (start + end) / 2
        axes.annotate(
            name,
            (time, at),
            xytext=(7 if right else -7, 0),
            textcoords="offset points",
            fontsize=7.5,
            ha="left" if right else "right",
            va="center",
        )
    axes.set_ylim(bottom, max([top, *(height + least * lines for _, height, lines in placed)]))


def wrapped(title: str, width: int = LETTERS) -> str:
    """Return a title on at most two lines of `width` letters, broken at its own marks, else shortened in the middle."""
    if len(title) <= width:
        return title
    title = shortened(title, 2 * width - 1)
    breaks = [n + 1 for n, letter in enumerate(title) if letter in MARKS and len(title) - width <= n + 1 <= width]
    at = min(breaks or [width], key=lambda n: abs(2 * n - len(title)))
    return f"{title[:at].rstrip()}\n{title[at:]}"


def wrapped_name(name: str) -> str:
    """Return the name of a dataset or machine on at most two lines as long as a panel is wide."""
    return wrapped(name, PANEL)


def _plain_number(value: float, _: int) -> str:
    return f"{value:g}"


def _of_some(value: float, _: int) -> str:
    """Return the label of 2, 3 or 5 times a power of ten; of the other ticks none, which would lie on one another."""
    return f"{value:g}" if f"{value:e}"[0] in "235" else ""


def _milliseconds(row: Row) -> float:
    assert row.images_per_second, "rows without a speed are lines"
    return 1000 / row.images_per_second


def _percent(row: Row) -> float:
    assert row.mAP is not None, "rows without a result are left out"
    return 100 * row.mAP
