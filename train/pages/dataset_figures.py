"""Figures of a dataset: detected persons by camera, and how often each chart is visible."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsa_data.charts import CHART_NAMES
from dsa_data.images import encode_png
from dsa_data.stores.iuv import STATUS

from .figure import Figure, Plot, Table, in_percent, percent, rendered_plots
from .pictures import coverage_figures
from .stores import DatasetFindings

STATUS_STYLE = {"found": ("#0072b2", ""), "fallback": ("#e69f00", "//"), "none": ("#bbbbbb", "xx")}


def persons(dataset: DatasetFindings) -> Figure | None:
    """Return the images with and without a detected person by camera; None without maps."""
    statuses = dataset.statuses
    if statuses is None:
        return None
    present = [status for status in reversed(STATUS) if any(status in counts for counts in statuses.values())]
    present.sort(key=list(STATUS_STYLE).index)

    def draw(axes: Any) -> None:
        base = np.zeros(len(statuses))
        for status in present:
            counts = np.array([one.get(status, 0) for one in statuses.values()])
            colour, hatch = STATUS_STYLE[status]
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
            [str(camid), *(f"{counts.get(status, 0)}" for status in present), in_percent(counts.get("none", 0) / total)]
        )
        words.append(f"camera {camid}: {percent(counts.get('none', 0) / total)} of {total}")
    return Figure(
        "persons",
        "Maps of the body by camera",
        "found: a person was detected; fallback: the whole image was taken; none: no map, so that training has no part "
        "images there.",
        f"Images without a map: {', '.join(words)}.",
        Table(["camera", *present, "none, percent"], rows),
        rendered_plots([draw]),
    )


def coverage(dataset: DatasetFindings) -> Figure | None:
    """Return how often each chart is visible, painted on the unfolded body; None without part images."""
    shares = dataset.coverage
    if shares is None:
        return None
    rows = [
        [f"{n} {name}", in_percent(share)] for n, (name, share) in enumerate(zip(CHART_NAMES, shares, strict=True), 1)
    ]
    order = np.argsort(shares, kind="stable")
    named = ", ".join(f"{CHART_NAMES[n]} {percent(shares[n])}" for n in (*order[::-1][:3], *order[:3]))
    return Figure(
        "coverage",
        "How often each part of the body is visible",
        "The darker a chart, the more images show it; white at 0%, blue in all images.",
        f"Most and least visible charts: {named}.",
        Table(["chart", "images that show it, percent"], rows),
        [Plot(None, encode_png(figure, 9)) for figure in coverage_figures(shares)],
    )
