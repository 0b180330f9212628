"""The figures of the report: each with its numbers as a table and a text for people who do not see it.

matplotlib (extra `figure`) draws them. Without it a figure has its table alone.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dsa_data.charts import CHART_NAMES
from dsa_data.images import encode_png
from dsa_data.stores.iuv import STATUS

from ..evaluation.same_or_not import SameOrNot, rates
from ..same_or_not_report import draw_distances, draw_reliability, draw_roc, is_drawable
from .findings import Findings, Series
from .pictures import coverage_figures
from .stores import DatasetFindings

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
STATUS_LOOK = {"found": ("#0072b2", ""), "fallback": ("#e69f00", "//"), "none": ("#bbbbbb", "xx")}
WIDTH, HEIGHT = 4.4, 3.4  # of one plot, inches
RANKS = (1, 2, 3, 5, 10, 20, 50)
RATES = (1e-3, 1e-2, 1e-1)  # of false matches, in the table beside the ROC
LISTED_EPOCHS = 12  # rows of the table of losses, at most


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
class Drawn:
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


def figures(runs: Sequence[Findings], dataset: DatasetFindings) -> dict[str, Drawn]:
    """Return the figures of runs and of their dataset by name; those of which nothing is known are left out."""
    makers = (cmc, losses, distances, roc, reliability, cameras, precision)
    made = [maker(runs) for maker in makers] + [persons(dataset), coverage(dataset)]
    return {one.name: one for one in made if one is not None}


def cmc(runs: Sequence[Findings]) -> Drawn:
    """Return the CMC curves, with that of random rankings."""
    curves = {run.name: run.cmc for run in runs} | {"chance": runs[0].chance.cmc}
    shown = [k for k in RANKS if k <= len(runs[0].cmc)]

    def draw(axes: Any) -> None:
        for n, (name, curve) in enumerate(curves.items()):
            look = {"color": "grey", "linestyle": ":"} if name == "chance" else _look(n)
            axes.plot(np.arange(1, len(curve) + 1), 100 * curve, label=_plain(name), **look)
        axes.set(xlabel="rank k", ylabel="queries found, percent", ylim=(0, 101), xlim=(1, len(runs[0].cmc)))
        axes.legend(fontsize=8)

    return Drawn(
        "cmc",
        "Cumulative matching characteristic (CMC)",
        "The share of queries whose person is among the first k images; dotted: random rankings.",
        "; ".join(
            f"{name}: " + ", ".join(f"{_percent(curve[k - 1])} at rank {k}" for k in shown)
            for name, curve in curves.items()
        )
        + ".",
        Table(
            ["percent", *(f"rank {k}" for k in shown)],
            [[name, *(_number(curve[k - 1]) for k in shown)] for name, curve in curves.items()],
        ),
        _plots([draw]),
    )


def losses(runs: Sequence[Findings]) -> Drawn | None:
    """Return losses and learning rate by epoch: all terms of one run, or the sums of several."""
    logs = {run.name: terms(run.log) for run in runs if run.log}
    if not any(logs.values()):
        return None
    single = len(runs) == 1
    lines: dict[str, Series] = {}
    for name, series in logs.items():
        lines |= dict(series) if single else {name: series["loss"]} if "loss" in series else {}
    rates_by_run = {run.name: run.log["lr"] for run in runs if "lr" in run.log}
    measured = {
        title if single else f"{run.name} {title}": run.log[what]
        for run in runs
        for what, title in (("rank1", "Rank-1"), ("mAP", "mAP"))
        if what in run.log
    }

    def draw_losses(axes: Any) -> None:
        for n, (name, series) in enumerate(lines.items()):
            width = 2.2 if name == "loss" else 1.2
            axes.plot(*zip(*series, strict=True), label=_plain(name), linewidth=width, **_marked(series), **_look(n))
        axes.set(xlabel="epoch", ylabel="mean loss", ylim=(0, None))
        axes.legend(fontsize=7)

    def draw_rates(axes: Any) -> None:
        for n, (name, series) in enumerate(rates_by_run.items()):
            axes.plot(*zip(*series, strict=True), label=_plain(name), **_marked(series), **_look(n))
        axes.set(xlabel="epoch", ylabel="learning rate")
        if not single:
            axes.legend(fontsize=7)

    def draw_measured(axes: Any) -> None:
        for n, (name, series) in enumerate(measured.items()):
            axes.plot(
                [at for at, _ in series],
                [100 * value for _, value in series],
                label=_plain(name),
                marker=".",
                **_look(n),
            )
        axes.set(xlabel="epoch", ylabel="percent", ylim=(0, 101))
        axes.locator_params(axis="x", integer=True)
        axes.legend(fontsize=7)

    draws = [draw_losses, *([draw_rates] if rates_by_run else []), *([draw_measured] if measured else [])]
    epochs = sorted({at for series in lines.values() for at, _ in series})
    some = epochs[:: max(1, -(-len(epochs) // LISTED_EPOCHS))]
    some = some if not epochs or some[-1] == epochs[-1] else [*some, epochs[-1]]
    columns = {
        **lines,
        **({f"learning rate{'' if single else ' ' + name}": s for name, s in rates_by_run.items()}),
        **measured,
    }
    values = {name: dict(series) for name, series in columns.items()}
    rows = [[f"{at:g}", *(f"{one[at]:.3g}" if at in one else "" for one in values.values())] for at in some]
    ends = ", ".join(f"{name} from {s[0][1]:.3g} to {s[-1][1]:.3g}" for name, s in lines.items() if s)
    return Drawn(
        "losses",
        f"Losses{', ' if measured else ' and '}learning rate{' and accuracy' if measured else ''} by epoch",
        "Each line is the mean of a loss term over an epoch; the local terms of one kind are averaged."
        + (" Rank-1 and mAP were measured after some of the epochs." if measured else ""),
        f"Mean losses over {len(epochs)} epochs: {ends}."
        + "".join(f" {name} from {_percent(s[0][1])} to {_percent(s[-1][1])}." for name, s in measured.items()),
        Table(["epoch", *columns], rows),
        _plots(draws),
    )


def terms(log: Mapping[str, Series]) -> dict[str, Series]:
    """Return the loss terms of a log, the sum first; numbered terms of one kind are averaged."""
    groups: dict[str, list[Series]] = {}
    for name, series in log.items():
        if name.startswith("train/"):
            groups.setdefault(re.sub(r"_\d+$", "", name.removeprefix("train/")), []).append(series)
    mean = {
        name: [(at, float(np.mean([dict(one)[at] for one in several]))) for at, _ in several[0]]
        for name, several in groups.items()
        if all([at for at, _ in one] == [at for at, _ in several[0]] for one in several)
    }
    return {name: mean[name] for name in sorted(mean, key=lambda name: (name != "loss", name))}


def distances(runs: Sequence[Findings]) -> Drawn:
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
                    _number(one.share),
                ]
            )
            words.append(
                f"{run.name}: below a distance of {one.distance:.3f}, {_percent(one.share)} of the pairs of one person "
                f"and {100 * one.rate:g}% of those of different people"
            )
    return Drawn(
        "distances",
        "Distances of the same and of different people",
        "Pairs below a threshold count as one person; each dotted line is the threshold of a false-match rate.",
        "; ".join(words) + "." if words else "Too few pairs for a threshold.",
        Table(["run", "false-match rate", "threshold", "95% interval", "same pairs below it, percent"], rows),
        _plots([_for_run(draw_distances, run.pairs, run.name, runs) for run in runs]),
    )


def roc(runs: Sequence[Findings]) -> Drawn:
    """Return the ROC curves."""
    rows = []
    for run in runs:
        false, true = rates(run.pairs.pairs.curve)
        at = [float(true[max(0, int(np.searchsorted(false, rate, side="right")) - 1)]) for rate in RATES]
        rows.append([run.name, f"{run.pairs.auc:.3f}", _number(run.pairs.eer), *map(_number, at)])
    rows.append(["chance", "0.500", "50.0", *(_number(rate) for rate in RATES)])
    words = "; ".join(f"{name}: area {area}, equal error rate {eer}%" for name, area, eer, *_ in rows)
    return Drawn(
        "roc",
        "Receiver operating characteristic (ROC)",
        "The share of pairs of one person that is accepted, by the share of pairs of different people that is; dotted: "
        "chance.",
        words + ".",
        Table(
            ["run", "area (AUC)", "equal error rate, %", *(f"accepted at {100 * rate:g}%, %" for rate in RATES)], rows
        ),
        _plots([_for_run(draw_roc, run.pairs.pairs.curve, run.name, runs) for run in runs]),
    )


def reliability(runs: Sequence[Findings]) -> Drawn | None:
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
            [run.name, f"{one['stated']:.2f}", f"{one['true']:.2f}", _number(one["weight"])] for one in measured["bins"]
        ]

    def drawn(run: Findings) -> Callable[[Any], None]:
        def draw(axes: Any) -> None:
            assert run.pairs.reliability is not None, "known"
            draw_reliability(axes, run.pairs.reliability, run.pairs.open_set.reliability)
            axes.set_title(_titled(run.name, axes.get_title(), known), fontsize=9)

        return draw

    return Drawn(
        "reliability",
        "Reliability of the probabilities",
        "Of pairs that are given a probability, the share that shows one person; on the dotted line both agree.",
        "; ".join(words) + ".",
        Table(["run", "probability stated", "share that is true", "weight, percent"], rows),
        _plots([drawn(run) for run in known]),
    )


def cameras(runs: Sequence[Findings]) -> Drawn | None:
    """Return Rank-1 between every two cameras as heat maps; None where no two cameras can be compared."""
    known = [run for run in runs if run.cameras]
    if not known:
        return None
    rows = [
        [run.name, str(q), str(g), _number(one.rank(1)), _number(one.mAP), str(one.queries)]
        for run in known
        for (q, g), one in run.cameras.items()
    ]
    words = []
    for run in known:
        ordered = sorted(run.cameras.items(), key=lambda item: item[1].rank(1))
        (low, worst), (high, best) = ordered[0], ordered[-1]
        words.append(
            f"{run.name}: Rank-1 is highest from camera {high[0]} to {high[1]} ({_percent(best.rank(1))}) and lowest "
            f"from {low[0]} to {low[1]} ({_percent(worst.rank(1))})"
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
            axes.set_title(_titled(run.name, "Rank-1, percent", known), fontsize=9)

        return draw

    return Drawn(
        "cameras",
        "Rank-1 by pair of cameras",
        "Queries of one camera, ranked in the images of another camera alone.",
        "; ".join(words) + ".",
        Table(["run", "query camera", "gallery camera", "Rank-1", "mAP", "queries"], rows),
        _plots([drawn(run) for run in known]),
    )


def precision(runs: Sequence[Findings]) -> Drawn:
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
                label=_plain(name),
            )
        axes.set(xlabel="average precision, percent", ylabel="queries")
        if len(counts) > 1:
            axes.legend(fontsize=8)

    titles = [f"{100 * low:.0f} to {100 * high:.0f}" for low, high in itertools.pairwise(edges)]
    rows = [[name, *map(str, some.tolist())] for name, some in counts.items()]
    words = "; ".join(
        f"{name}: {some[0]} queries below 10%, {some[-1]} at 90% or more" for name, some in counts.items()
    )
    return Drawn(
        "precision",
        "Average precision by query",
        "How many queries have which average precision; their mean is mAP.",
        words + ".",
        Table(["queries", *titles], rows),
        _plots([draw]),
    )


def persons(dataset: DatasetFindings) -> Drawn | None:
    """Return the images with and without a detected person by camera; None without maps."""
    statuses = dataset.statuses
    if statuses is None:
        return None
    present = [status for status in reversed(STATUS) if any(status in counts for counts in statuses.values())]
    present.sort(key=list(STATUS_LOOK).index)

    def draw(axes: Any) -> None:
        base = np.zeros(len(statuses))
        for status in present:
            counts = np.array([one.get(status, 0) for one in statuses.values()])
            colour, hatch = STATUS_LOOK[status]
            axes.bar(
                [str(camid) for camid in statuses],
                counts,
                bottom=base,
                color=colour,
                hatch=hatch,
                label=status,
                edgecolor="white",
            )
            base += counts
        axes.set_ylim(0, 1.2 * base.max())  # the legend has its own room
        axes.set(xlabel="camera", ylabel="images")
        axes.legend(fontsize=8)

    rows, words = [], []
    for camid, counts in statuses.items():
        total = sum(counts.values())
        rows.append(
            [str(camid), *(f"{counts.get(status, 0)}" for status in present), _number(counts.get("none", 0) / total)]
        )
        words.append(f"camera {camid}: {_percent(counts.get('none', 0) / total)} of {total}")
    return Drawn(
        "persons",
        "Maps of the body by camera",
        "found: a person was detected; fallback: the whole image was taken; none: no map, so that training has no part "
        "images there.",
        f"Images without a map: {', '.join(words)}.",
        Table(["camera", *present, "none, percent"], rows),
        _plots([draw]),
    )


def coverage(dataset: DatasetFindings) -> Drawn | None:
    """Return how often each chart is visible, painted on the unfolded body; None without part images."""
    shares = dataset.coverage
    if shares is None:
        return None
    rows = [[f"{n} {name}", _number(share)] for n, (name, share) in enumerate(zip(CHART_NAMES, shares, strict=True), 1)]
    order = np.argsort(shares, kind="stable")
    named = ", ".join(f"{CHART_NAMES[n]} {_percent(shares[n])}" for n in (*order[::-1][:3], *order[:3]))
    return Drawn(
        "coverage",
        "How often each part of the body is visible",
        "The darker a chart, the more images show it; white at 0%, blue in all images.",
        f"Most and least visible charts: {named}.",
        Table(["chart", "images that show it, percent"], rows),
        [Plot(None, encode_png(figure, 9)) for figure in coverage_figures(shares)],
    )


def _for_run(
    draw: Callable[[Any, Any], None], value: SameOrNot | Any, name: str, runs: Sequence[Findings]
) -> Callable[[Any], None]:
    def drawn(axes: Any) -> None:
        draw(axes, value)
        axes.set_title(_titled(name, axes.get_title(), runs), fontsize=9)

    return drawn


def _titled(name: str, title: str, runs: Sequence[Findings]) -> str:
    """Return a plot's title, the run first where there are several."""
    return title if len(runs) == 1 else f"{_plain(name)}\n{title}"


def _marked(series: Series) -> dict[str, Any]:
    """Return a mark for the one point of a series that is no line."""
    return {"marker": "o"} if len(series) == 1 else {}


def _look(n: int) -> dict[str, Any]:
    return {"color": COLOURS[n % len(COLOURS)], "linestyle": DASHES[n % len(DASHES)]}


def _plots(draws: Sequence[Callable[[Any], None]]) -> list[Plot]:
    """Return plots, the same bytes each time; none without matplotlib."""
    if not is_drawable():
        return []
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plots = []
    with matplotlib.rc_context({"svg.hashsalt": "dsa-reid", "font.size": 9}):  # the ids in an SVG are derived from it
        for draw in draws:
            figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.subplots()
            draw(axes)
            axes.spines[["top", "right"]].set_visible(False)
            svg, png = io.BytesIO(), io.BytesIO()
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
            plots.append(Plot(svg.getvalue(), png.getvalue()))
    return plots


def _plain(name: str) -> str:
    """Return a name as matplotlib draws it unchanged: a $ would begin a formula, a first _ would hide a label."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _number(share: float) -> str:
    return f"{100 * share:.1f}"
