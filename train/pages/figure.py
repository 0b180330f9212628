"""A figure of the report: its plots, its numbers as a table, and a text for people who do not see it.

matplotlib (extra `figure`) draws the plots. Without it a figure has its table alone.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..same_or_not_report import is_drawable

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
WIDTH, HEIGHT = 4.4, 3.4  # of one plot, inches


@dataclasses.dataclass(frozen=True)
class Table:
    """Numbers as text: a row a title and its cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Plot(NamedTuple):
    """A plot in two forms; only an image of pixels has no SVG."""

    svg: bytes | None
    png: bytes


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Args:
        name: of its PNG file.
        title: above it.
        sentence: what it shows, in one sentence.
        alt: its numbers in words.
        table: its numbers.
        plots: the drawing, one or more; none where matplotlib is not installed.
    """

    name: str
    title: str
    sentence: str
    alt: str
    table: Table
    plots: Sequence[Plot] = ()


def rendered_plots(draws: Sequence[Callable[[Any], None]]) -> list[Plot]:
    """Return plots, the same bytes each time; none without matplotlib."""
    if not is_drawable():
        return []
    import matplotlib.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    plots = []
    with matplotlib.rc_context({"svg.hashsalt": "dsa-reid", "font.size": 9}):  # the ids in an SVG are derived from it
        for draw in draws:
            figure = matplotlib.figure.Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.subplots()
            draw(axes)
            axes.spines[["top", "right"]].set_visible(False)
            svg, png = io.BytesIO(), io.BytesIO()
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
            plots.append(Plot(svg.getvalue(), png.getvalue()))
    return plots


def line_style(n: int) -> dict[str, Any]:
    """Return colour and dashes of line `n`, as matplotlib takes them."""
    return {"color": COLOURS[n % len(COLOURS)], "linestyle": DASHES[n % len(DASHES)]}


def run_title(name: str, title: str, runs: Sequence[object]) -> str:
    """Return a plot's title, the run first where there are several."""
    return title if len(runs) == 1 else f"{label(name)}\n{title}"


def label(name: str) -> str:
    """Return a name as matplotlib draws it unchanged: a $ would begin a formula, a first _ would hide a label."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def percent(share: float) -> str:
    """Return a share as text, as in 12.3%."""
    return f"{100 * share:.1f}%"


def in_percent(share: float) -> str:
    """Return a share in percent as text without the sign, for a table."""
    return f"{100 * share:.1f}"
