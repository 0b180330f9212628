"""Figures of rankings: CMC, Rank-1 between cameras, and average precision by query."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .figure import COLOURS, Figure, Table, in_percent, label, line_style, percent, rendered_plots, run_title
from .findings import Findings

RANKS = (1, 2, 3, 5, 10, 20, 50)


def cmc(runs: Sequence[Findings]) -> Figure:
    """Return the CMC curves, with that of random rankings."""
    curves = {run.name: run.cmc for run in runs} | {"chance": runs[0].chance.cmc}
    shown = [k for k in RANKS if k <= len(runs[0].cmc)]

    def draw(axes: Any) -> None:
        for n, (name, curve) in enumerate(curves.items()):
            look = {"color": "grey", "linestyle": ":"} if name == "chance" else line_style(n)
            axes.plot(np.arange(1, len(curve) + 1), 100 * curve, label=label(name), **look)
        axes.set(xlabel="rank k", ylabel="queries found, percent", ylim=(0, 101), xlim=(1, len(runs[0].cmc)))
        axes.legend(fontsize=8)

    return Figure(
        "cmc",
        "Cumulative matching characteristic (CMC)",
        "The share of queries whose person is among the first k images; dotted: random rankings.",
        "; ".join(
            f"{name}: " + ", ".join(f"{percent(curve[k - 1])} at rank {k}" for k in shown)
            for name, curve in curves.items()
        )
        + ".",
        Table(
            ["percent", *(f"rank {k}" for k in shown)],
            [[name, *(in_percent(curve[k - 1]) for k in shown)] for name, curve in curves.items()],
        ),
        rendered_plots([draw]),
    )


def cameras(runs: Sequence[Findings]) -> Figure | None:
    """Return Rank-1 between every two cameras as heat maps; None where no two cameras can be compared."""
    known = [run for run in runs if run.cameras]
    if not known:
        return None
    rows = [
        [run.name, str(q), str(g), in_percent(one.rank(1)), in_percent(one.mAP), str(one.queries)]
        for run in known
        for (q, g), one in run.cameras.items()
    ]
    words = []
    for run in known:
        ordered = sorted(run.cameras.items(), key=lambda item: item[1].rank(1))
        (low, worst), (high, best) = ordered[0], ordered[-1]
        words.append(
            f"{run.name}: Rank-1 is highest from camera {high[0]} to {high[1]} ({percent(best.rank(1))}) and lowest "
            f"from {low[0]} to {low[1]} ({percent(worst.rank(1))})"
        )

    def drawn(run: Findings) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            q_camids, g_camids = (sorted({pair[side] for pair in run.cameras}) for side in (0, 1))
            values = np.full((len(q_camids), len(g_camids)), np.nan)
            for (q, g), one in run.cameras.items():
                values[q_camids.index(q), g_camids.index(g)] = 100 * one.rank(1)
            axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    ink = "white" if value > 55 else "black"
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
            axes.set_xticks(range(len(g_camids)), [str(one) for one in g_camids])
            axes.set_yticks(range(len(q_camids)), [str(one) for one in q_camids])
            axes.set(xlabel="gallery camera", ylabel="query camera")
            axes.set_title(run_title(run.name, "Rank-1, percent", known), fontsize=9)

        return draw

    return Figure(
        "cameras",
        "Rank-1 by pair of cameras",
        "Queries of one camera, ranked in the images of another camera alone.",
        "; ".join(words) + ".",
        Table(["run", "query camera", "gallery camera", "Rank-1", "mAP", "queries"], rows),
        rendered_plots([drawn(run) for run in known]),
    )


def precision(runs: Sequence[Findings]) -> Figure:
    """Return the distribution of average precision over queries."""
    edges = np.linspace(0, 1, 11)
    counts = {}
    for run in runs:
        ap = np.array([one.ap for one in run.rankings])
        counts[run.name] = np.histogram(ap[np.isfinite(ap)], edges)[0]

    def draw(axes: Any) -> None:
        width = 9 / len(counts)
        for n, (name, some) in enumerate(counts.items()):
            axes.bar(
                100 * edges[:-1] + 0.5 + n * width,
                some,
                width,
                align="edge",
                color=COLOURS[n % len(COLOURS)],
                label=label(name),
            )
        axes.set(xlabel="average precision, percent", ylabel="queries")
        if len(counts) > 1:
            axes.legend(fontsize=8)

    titles = [f"{100 * low:.0f} to {100 * high:.0f}" for low, high in itertools.pairwise(edges)]
    rows = [[name, *map(str, some.tolist())] for name, some in counts.items()]
    words = "; ".join(
        f"{name}: {some[0]} queries below 10%, {some[-1]} at 90% or more" for name, some in counts.items()
    )
    return Figure(
        "precision",
        "Average precision by query",
        "How many queries have which average precision; their mean is mAP.",
        words + ".",
        Table(["queries", *titles], rows),
        rendered_plots([draw]),
    )
