"""How far two stores of maps of the same images agree: people found, bodies, charts, regions, u and v."""

from __future__ import annotations

import csv
import dataclasses
import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_data.charts import BODY_REGIONS, REGION_OF_CHART
from dsa_data.stores.iuv import IuvMap, IuvStore
from dsa_reid.atomic import atomic

MEASURES = ("iou", "chart", "region", "u", "v")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two maps of one image agree.

    Attributes:
        key: of the image.
        found: whether the first and the second map show a person.
        iou: of the two bodies, intersection over union; 0 if only one map shows a person, NaN if neither does.
        chart: share of the pixels of both bodies that have the same chart in both; NaN if there are none.
        region: share of them that have the same of the eight regions.
        u, v: mean absolute difference where the chart is the same, 0 to 1; NaN if there are no such pixels, or if a map
            is of I alone.
    """

    key: str
    found: tuple[bool, bool]
    iou: float
    chart: float
    region: float
    u: float
    v: float

    @property
    def score(self) -> float:
        """The agreement in one number, 0 to 1: of bodies times that of regions in them."""
        return 0.0 if math.isnan(self.region) else self.iou * self.region


@dataclasses.dataclass
class Total:
    """What is summed over images.

    Attributes:
        images: compared.
        both, first, second: images in which both maps show a person, or only the first one, or only the second.
        sums: of each measure over the images in which both show a person and it is known, and their number.
        regions: pixels of each region, background first, in both maps and in either: int (2, 9).
    """

    images: int = 0
    both: int = 0
    first: int = 0
    second: int = 0
    sums: dict[str, list[float]] = dataclasses.field(default_factory=lambda: {name: [0.0, 0] for name in MEASURES})
    regions: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((2, len(BODY_REGIONS) + 1), np.int64))

    def add(self, one: Agreement, regions: np.ndarray) -> None:
        """Add an image."""
        self.images += 1
        self.both += all(one.found)
        self.first += one.found == (True, False)
        self.second += one.found == (False, True)
        self.regions += regions
        if all(one.found):
            for name, entry in self.sums.items():
                value = getattr(one, name)
                if not math.isnan(value):
                    entry[0] += value
                    entry[1] += 1

    def mean(self, name: str) -> float:
        """Return the mean of a measure over the images in which both maps show a person; NaN if there are none."""
        total, count = self.sums[name]
        return total / count if count else math.nan

    def region_iou(self) -> dict[str, float]:
        """Return the intersection over union of each region, over the pixels of all images; NaN for one never seen."""
        both, either = self.regions[:, 1:].tolist()
        return {name: one / of if of else math.nan for name, one, of in zip(BODY_REGIONS, both, either, strict=True)}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The agreement of two stores.

    Attributes:
        total: over all images that are in both.
        worst: the images that agree least, worst first; those in which both maps show a person before others.
        left_out: images that are in one store only, in the first and in the second, and that have changed between them.
    """

    total: Total
    worst: list[Agreement]
    left_out: tuple[int, int, int]


def compare(first: IuvStore, second: IuvStore, worst: int = 12, csv_file: Path | None = None) -> Comparison:
    """Compare the maps of all images that two stores share, one image at a time.

    Args:
        worst: how many of the images that agree least are returned.
        csv_file: gets a row for every image; None for none.

    Raises:
        DatasetError: if they share no image.
        StoreError: for a damaged map.
    """
    shared = [key for key in first.keys if key in second]
    same = [key for key in shared if _is_same(first, second, key)]
    left_out = len(first) - len(shared), len(second) - len(shared), len(shared) - len(same)
    if not same:
        raise DatasetError(
            f"{first.path} and {second.path} share no image. Compare stores of the same images: densepose-extract run "
            "with the same manifest."
        )
    total, least = Total(), Least(worst)
    with _rows(csv_file) as write:
        for key in progress(same, len(same), "comparing"):
            maps = first.read(first.index(key)), second.read(second.index(key))
            one = agreement(key, *maps)
            total.add(one, region_pixels(*maps))
            least.add(one)
            write(one)
    return Comparison(total, least.sorted(), left_out)


def agreement(key: str, first: IuvMap, second: IuvMap) -> Agreement:
    """Return how far two maps of the image `key`, of one size, agree."""
    charts = first.iuv[..., 0], second.iuv[..., 0]
    bodies = charts[0] > 0, charts[1] > 0
    found = bool(bodies[0].any()), bool(bodies[1].any())
    both, either = bodies[0] & bodies[1], bodies[0] | bodies[1]
    iou = both.sum() / either.sum() if either.any() else math.nan
    same = both & (charts[0] == charts[1])
    of_both, chart, region = int(both.sum()), math.nan, math.nan
    if of_both:
        chart = same.sum() / of_both
        region = (REGION_OF_CHART[charts[0][both]] == REGION_OF_CHART[charts[1][both]]).sum() / of_both
    u = v = math.nan
    if same.any() and first.has_uv and second.has_uv:
        difference = np.abs(coordinates(first)[same] - coordinates(second)[same])  # (n, 2)
        u, v = difference.mean(axis=0).tolist()
    return Agreement(key, found, float(iou), float(chart), float(region), u, v)


def coordinates(one: IuvMap) -> np.ndarray:
    """Return u and v of a map, float64 (H, W, 2), from 16 bits where it has them."""
    if one.fine is not None:
        return (one.fine + 0.5) / 65536
    return np.asarray(one.iuv[..., 1:] / 255)


def region_pixels(first: IuvMap, second: IuvMap) -> np.ndarray:
    """Return the pixels of each region, background first, in both maps and in either: int64 (2, 9)."""
    count = len(BODY_REGIONS) + 1
    one, other = (REGION_OF_CHART[each.iuv[..., 0]].ravel() for each in (first, second))
    both = np.bincount(one[one == other], minlength=count)
    return np.stack([both, np.bincount(one, minlength=count) + np.bincount(other, minlength=count) - both])


class Least:
    """The `size` images that agree least of all that were added; those in which both maps show a person come first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._heap: list[tuple[tuple[bool, float, int], Agreement]] = []  # the best of them on top
        self._added = 0

    def add(self, one: Agreement) -> None:
        """Take an image in, unless `size` others agree less."""
        self._added += 1
        if not any(one.found) or not self.size:
            return
        # The greatest is the worst; the number keeps the first of equal ones, and makes all differ.
        entry = (all(one.found), -one.score, -self._added), one
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def sorted(self) -> list[Agreement]:
        """Return them, worst first."""
        return [one for _, one in sorted(self._heap, key=lambda entry: entry[0], reverse=True)]


def summary(comparison: Comparison) -> list[str]:
    """Return lines: people found by either store, and the means of all measures."""
    total, (only_first, only_second, changed) = comparison.total, comparison.left_out
    neither = total.images - total.both - total.first - total.second
    lines = [
        f"{total.images} images in both stores",
        f"person detected by both {total.both}, A only {total.first}, B only {total.second}, neither {neither}",
    ]
    names = ((only_first, "in A only"), (only_second, "in B only"), (changed, "of another file or size in B"))
    left_out = ", ".join(f"{count} {name}" for count, name in names if count)
    if left_out:
        lines.insert(1, f"not compared: {left_out}")
    means = {name: total.mean(name) for name in MEASURES}
    lines += [
        "mean over the images in which both detected a person:",
        f"  body, intersection over union {_percent(means['iou'])}",
        f"  same chart                         {_percent(means['chart'])} of the pixels of both bodies",
        f"  same of eight regions              {_percent(means['region'])}",
        f"  difference where the chart is the same: u {_number(means['u'])}, v {_number(means['v'])}",
        "intersection over union of each region, over all pixels:",
    ]
    lines += [f"  {name:12}{_percent(value)}" for name, value in total.region_iou().items()]
    return lines


def plain(comparison: Comparison, first: IuvStore, second: IuvStore) -> dict[str, Any]:
    """Return a comparison as plain values; what is not known is None."""
    total = comparison.total
    return {
        "a": first.header.configuration,
        "b": second.header.configuration,
        "images": total.images,
        "only_in_a": comparison.left_out[0],
        "only_in_b": comparison.left_out[1],
        "changed": comparison.left_out[2],
        "found_by_both": total.both,
        "found_by_a_only": total.first,
        "found_by_b_only": total.second,
        **{name: _plain(total.mean(name)) for name in MEASURES},
        "regions": {name: _plain(value) for name, value in total.region_iou().items()},
        "worst": [_row(one) for one in comparison.worst],
    }


@contextmanager
def _rows(path: Path | None) -> Iterator[Callable[[Agreement], None]]:
    """Return a function that writes an image's row to a CSV file, which is whole or not there at all."""
    if path is None:
        yield lambda one: None
        return
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "found_a", "found_b", *MEASURES])
        yield lambda one: writer.writerow(["" if value is None else value for value in _row(one).values()])


def _row(one: Agreement) -> dict[str, Any]:
    found = {"found_a": int(one.found[0]), "found_b": int(one.found[1])}
    return {"key": one.key, **found, **{name: _plain(getattr(one, name)) for name in MEASURES}}


def _is_same(first: IuvStore, second: IuvStore, key: str) -> bool:
    """Return whether both stores have the map of the same file, and of one size."""
    one, other = first.index(key), second.index(key)
    return first.digests[one] == second.digests[other] and bool((first.shapes[one] == second.shapes[other]).all())


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _percent(value: float) -> str:
    return "   n/a" if math.isnan(value) else f"{value:6.1%}"


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
