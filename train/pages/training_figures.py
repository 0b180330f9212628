"""The figure of a training: losses, learning rate and accuracy by epoch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .figure import Figure, Table, label, line_style, percent, rendered_plots
from .findings import Findings, Series

LISTED_EPOCHS = 12  # rows of the table of losses, at most


def losses(runs: Sequence[Findings]) -> Figure | None:
    """Return losses and learning rate by epoch: all terms of one run, or the sums of several; None without a log."""
    curves = _curves(runs)
    if curves is None:
        return None
    epochs = sorted({at for series in curves.losses.values() for at, _ in series})
    ends = ", ".join(f"{name} from {s[0][1]:.3g} to {s[-1][1]:.3g}" for name, s in curves.losses.items() if s)
    accuracies = curves.accuracies
    return Figure(
        "losses",
        f"Losses{', ' if accuracies else ' and '}learning rate{' and accuracy' if accuracies else ''} by epoch",
        "Each line is the mean of a loss term over an epoch; the local terms of one kind are averaged."
        + (" Rank-1 and mAP were measured after some of the epochs." if accuracies else ""),
        f"Mean losses over {len(epochs)} epochs: {ends}."
        + "".join(f" {name} from {percent(s[0][1])} to {percent(s[-1][1])}." for name, s in accuracies.items()),
        _table(curves, epochs),
        rendered_plots(_draws(curves)),
    )


@dataclasses.dataclass(frozen=True)
class _Curves:
    """The lines of the figure, by their labels.

    Args:
        losses: all terms of one run, or the sums of several.
        rates: learning rates, by run.
        accuracies: Rank-1 and mAP, of the epochs after which they were measured.
        single: whether they are of one run.
    """

    losses: Mapping[str, Series]
    rates: Mapping[str, Series]
    accuracies: Mapping[str, Series]
    single: bool


def _curves(runs: Sequence[Findings]) -> _Curves | None:
    """Return what the logs of runs have; None if no log has a loss."""
    logs = {run.name: terms(run.log) for run in runs if run.log}
    if not any(logs.values()):
        return None
    single = len(runs) == 1
    lines: dict[str, Series] = {}
    for name, series in logs.items():
        lines |= dict(series) if single else {name: series["loss"]} if "loss" in series else {}
    rates = {run.name: run.log["lr"] for run in runs if "lr" in run.log}
    accuracies = {
        title if single else f"{run.name} {title}": run.log[what]
        for run in runs
        for what, title in (("rank1", "Rank-1"), ("mAP", "mAP"))
        if what in run.log
    }
    return _Curves(lines, rates, accuracies, single)


def _draws(curves: _Curves) -> list[Callable[[Any], None]]:
    """Return a function for each plot, which draws on the axes that it is given."""

    def draw_losses(axes: Any) -> None:
        for n, (name, series) in enumerate(curves.losses.items()):
            width = 2.2 if name == "loss" else 1.2
            style = {"linewidth": width, **_point_mark(series), **line_style(n)}
            axes.plot(*zip(*series, strict=True), label=label(name), **style)
        axes.set(xlabel="epoch", ylabel="mean loss", ylim=(0, None))
        axes.legend(fontsize=7)

    def draw_rates(axes: Any) -> None:
        for n, (name, series) in enumerate(curves.rates.items()):
            axes.plot(*zip(*series, strict=True), label=label(name), **_point_mark(series), **line_style(n))
        axes.set(xlabel="epoch", ylabel="learning rate")
        if not curves.single:
            axes.legend(fontsize=7)

    def draw_accuracies(axes: Any) -> None:
        for n, (name, series) in enumerate(curves.accuracies.items()):
            epochs, values = [at for at, _ in series], [100 * value for _, value in series]
            axes.plot(epochs, values, label=label(name), marker=".", **line_style(n))
        axes.set(xlabel="epoch", ylabel="percent", ylim=(0, 101))
        axes.locator_params(axis="x", integer=True)
        axes.legend(fontsize=7)

    return [
        draw_losses,
        *([draw_rates] if curves.rates else []),
        *([draw_accuracies] if curves.accuracies else []),
    ]


def _table(curves: _Curves, epochs: Sequence[float]) -> Table:
    """Return the values of all lines at some of the epochs, the last among them."""
    some = list(epochs[:: max(1, -(-len(epochs) // LISTED_EPOCHS))])
    some += [] if not epochs or some[-1] == epochs[-1] else [epochs[-1]]
    rates = {f"learning rate{'' if curves.single else ' ' + name}": s for name, s in curves.rates.items()}
    columns = {**curves.losses, **rates, **curves.accuracies}
    values = {name: dict(series) for name, series in columns.items()}
    rows = [[f"{at:g}", *(f"{one[at]:.3g}" if at in one else "" for one in values.values())] for at in some]
    return Table(["epoch", *columns], rows)


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


def _point_mark(series: Series) -> dict[str, Any]:
    """Return a mark for the one point of a series that is no line."""
    return {"marker": "o"} if len(series) == 1 else {}
