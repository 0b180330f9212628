"""Statistics of a store of maps: people detected by split and camera, and the charts that are visible."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_data.charts import CHART_NAMES, CHARTS
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvStore

from .stage import Outcome

STATUSES = ("found", "fallback", "none")  # best first
NAMED = 5  # skipped images that the summary names; the rest are counted
TOTAL = ("total", "")  # the last row of the table by split and camera
BINS, BAR = 10, 40  # rows of a histogram, and characters of its longest bar


def summary(store: IuvStore, outcome: Outcome, without_person: int | None = None) -> list[str]:
    """Return lines about the result of a run.

    Args:
        without_person: of rendered maps, the images of status "none" that show no person at all; in the others the
            imitated errors missed the person. None for maps of other engines.
    """
    made = f"{outcome.made} maps made in {outcome.seconds:.1f} s"
    if outcome.made and outcome.seconds:
        made += f", {outcome.made / outcome.seconds:,.1f} a second"
    statuses = Counter(store.statuses)
    lines = [
        f"{store.path}: {len(store)} maps, {store.path.stat().st_size / 2**20:.1f} MiB",
        made if outcome.changed else "up to date: the same images, the same settings",
        ", ".join(f"{statuses[status]} {status}" for status in STATUSES)
        + explained(statuses["none"], len(outcome.skipped), without_person),
    ]
    if "checkpoint" in store.header.configuration:
        lines.append(f"checkpoint SHA-256 {store.header.configuration['checkpoint']}")
    if outcome.skipped:
        lines.append(f"{len(outcome.skipped)} images could not be read and have an empty map:")
        lines += [f"  {reason}" for reason in list(outcome.skipped.values())[:NAMED]]
    return lines


def explained(none: int, skipped: int, without_person: int | None) -> str:
    """Return why images have the status "none", to continue the line that counts them; empty if none has it."""
    if not none:
        return ""
    reasons = [f"{skipped} could not be read"] if skipped else []
    if without_person is None:
        reasons += [f"in {none - skipped} no person was detected"] if none > skipped else []
    else:
        missed = none - skipped - without_person
        reasons += [f"{without_person} show no person"] if without_person else []
        reasons += (
            [f"in {missed} the imitated errors of an estimator (extract.errors) missed the person"] if missed else []
        )
    return f": {', '.join(reasons)}; their maps are empty"


def report(store: IuvStore, records: Sequence[Record]) -> list[str]:
    """Return lines of tables: statuses by split and camera, visible charts, share of body in an image, scores.

    Of a store with confidences also the mean of each chart, and those of images.

    Raises DatasetError unless `records` list the store's images.
    """
    check_records(store, records)
    pixels, confidence = count_pixels(store)  # (N, 25), (25,)
    body = pixels[:, 1:].sum(axis=1) / pixels.sum(axis=1)
    stated = confidence if store.confidence == "pixels" else None
    lines = [*by_camera(store.statuses, records), "", *visible_charts(pixels, stated)]
    lines += ["", "share of the image that is body", *histogram(body)]
    detected = [status != "none" for status in store.statuses]
    for name, values in (("score", store.scores[detected]), ("confidence", store.image_confidences[detected])):
        if np.isfinite(values).any():
            lines += ["", f"{name}, where a person was detected", *histogram(values[np.isfinite(values)])]
    return lines


def plain(store: IuvStore, records: Sequence[Record]) -> dict[str, Any]:
    """Return what `report` shows as plain values, for JSON: shares are fractions, a histogram counts tenths of 0 to 1.

    Raises DatasetError unless `records` list the store's images.
    """
    check_records(store, records)
    pixels, confidence = count_pixels(store)
    seen, share = chart_shares(pixels)
    detected = [status != "none" for status in store.statuses]
    groups = counted(store.statuses, records)
    histograms = {"body": pixels[:, 1:].sum(axis=1) / pixels.sum(axis=1)}
    for name, values in (("score", store.scores[detected]), ("confidence", store.image_confidences[detected])):
        if np.isfinite(values).any():
            histograms[name] = values[np.isfinite(values)]
    return {
        "images": len(store),
        "statuses": [
            {
                "split": split,
                "camera": camera.strip(),
                "images": counts.total(),
                **{one: counts[one] for one in STATUSES},
            }
            for (split, camera), counts in groups
        ],
        "charts": [
            {
                "chart": chart + 1,
                "name": name,
                "seen_in": float(seen[chart]),
                "of_body": float(share[chart]),
                "confidence": float(confidence[chart + 1]) if np.isfinite(confidence[chart + 1]) else None,
            }
            for chart, name in enumerate(CHART_NAMES)
        ],
        "histograms": {name: np.histogram(values, BINS, (0, 1))[0].tolist() for name, values in histograms.items()},
    }


def check_records(store: IuvStore, records: Sequence[Record]) -> None:
    """Raise DatasetError unless `records` list the store's images."""
    if [record.key for record in records] != store.keys:
        raise DatasetError(f"{store.path} was made from another manifest. Run densepose-extract run again.")


def count_pixels(store: IuvStore) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each chart in each image, background first, int (N, 25), and their mean confidence, (25,).

    The mean is over all images, 0 to 1; NaN for a chart that is never seen, and without confidences by pixel.
    """
    counts = np.zeros((len(store), CHARTS + 1), np.int64)
    total = np.full(CHARTS + 1, 0.0 if store.confidence == "pixels" else np.nan)
    for index in progress(range(len(store)), len(store), "counting"):
        one = store.read(index)
        chart = one.iuv[..., 0].ravel()
        counts[index] = np.bincount(chart, minlength=CHARTS + 1)
        if one.confidence is not None:
            total += np.bincount(chart, one.confidence.ravel(), CHARTS + 1) / 255
    seen = counts.sum(axis=0)
    return counts, np.divide(total, seen, out=np.full(CHARTS + 1, np.nan), where=seen > 0)


def by_camera(statuses: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Return lines of a table: the images of each status, by split and camera and in total."""
    lines = [f"{'split':10}{'camera':>8}{'images':>10}" + "".join(f"{status:>18}" for status in STATUSES)]
    for (split, camera), counts in counted(statuses, records):
        total = counts.total()
        cells = [f"{counts[status]:10} {counts[status] / total:7.1%}" for status in STATUSES]
        lines.append(f"{split:10}{camera:>8}{total:10}" + "".join(cells))
    return lines


def counted(statuses: Sequence[str], records: Sequence[Record]) -> list[tuple[tuple[str, str], Counter[str]]]:
    """Return the images of each status by split and camera, "all" of a split, and `TOTAL` last."""
    groups: Mapping[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for status, record in zip(statuses, records, strict=True):
        for group in ((record.split, f"{record.camid:6}"), (record.split, "all"), TOTAL):
            groups[group][status] += 1
    return sorted(groups.items(), key=lambda item: (item[0] == TOTAL, item[0]))


def chart_shares(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of images in which each chart is visible, and its share of the body's pixels, (24,) each."""
    return (pixels[:, 1:] > 0).mean(axis=0), pixels[:, 1:].sum(axis=0) / max(1, pixels[:, 1:].sum())


def visible_charts(pixels: np.ndarray, confidence: np.ndarray | None = None) -> list[str]:
    """Return lines: the share of images in which each chart is visible, and its share of the body's pixels.

    Args:
        pixels, confidence: see `count_pixels`; None for no column of confidences.
    """
    seen, share = chart_shares(pixels)
    lines = [f"{'chart':28}{'seen in':>9}{'of body':>9}" + ("" if confidence is None else f"{'sure':>7}")]
    for chart, name in enumerate(CHART_NAMES):
        sure = "" if confidence is None else f"{confidence[chart + 1]:7.2f}"
        lines.append(f"{chart + 1:4} {name:23}{seen[chart]:9.1%}{share[chart]:9.1%}{sure}  {bar(seen[chart])}")
    return lines


def histogram(values: np.ndarray) -> list[str]:
    """Return lines: how many of `values`, each in 0..1, are in each tenth."""
    counts, edges = np.histogram(values, BINS, (0, 1))
    largest = max(1, counts.max())
    return [
        f"{low:.1f} to {high:.1f}{count:10}  {bar(count / largest)}".rstrip()
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


def bar(share: float) -> str:
    """Return a bar for a share in 0..1, at least one character if it is not 0."""
    return "#" * max(round(share * BAR), int(share > 0))
