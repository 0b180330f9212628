"""Two results on the same queries: differences with intervals over identities, and the queries that changed most."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import TrainingError
from dsa_app.row_files import Row, read_rows
from dsa_data.images import write_png

from .evaluation.per_query import QUERY_COLUMNS
from .evaluation.rankings import Ranking, page
from .probe.bootstrap import Interval, paired_difference

RESAMPLES, SEED = 2000, 0
LISTED, RENDERED = 5, 3  # queries that gained most, and as many that lost most


@dataclasses.dataclass(frozen=True)
class Change:
    """A query's average precision in both results, fractions."""

    query: str
    this: float
    other: float

    @property
    def gain(self) -> float:
        """What this result gains over the other."""
        return self.this - self.other


@dataclasses.dataclass(frozen=True)
class Against:
    """A result compared with another on the same queries.

    Args:
        other: the name of the other result.
        queries, identities: that both have.
        this_mAP, other_mAP: over these queries.
        mAP, rank1: differences, this minus other, with 95% intervals by resampling identities.
        changed: all queries, by gain, the greatest first.
    """

    other: str
    queries: int
    identities: int
    this_mAP: float  # noqa: N815 - the field's name
    other_mAP: float  # noqa: N815
    mAP: Interval  # noqa: N815
    rank1: Interval
    changed: Sequence[Change]

    def most_changed(self, count: int = LISTED) -> list[Change]:
        """Return the queries that gained most, then those that lost most, without those that did not change."""
        gained = [one for one in self.changed[:count] if one.gain > 0]
        return gained + [one for one in self.changed[::-1][:count] if one.gain < 0]

    def measures(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "other": self.other,
            "queries": self.queries,
            "identities": self.identities,
            "mAP": self.this_mAP,
            "other_mAP": self.other_mAP,
            "mAP_difference": self.mAP._asdict(),
            "rank1_difference": self.rank1._asdict(),
            "changed": [{**dataclasses.asdict(one), "gain": one.gain} for one in self.most_changed()],
        }


def read_queries(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of `dsa-train evaluate --per-query`. Raises DatasetError, TrainingError for another."""
    rows = read_rows(path, QUERY_COLUMNS)
    try:
        return [
            {
                **row,
                "pid": int(row["pid"]),
                **{name: _number(row[name]) for name in ("ap", "first_rank")},
            }
            for row in rows
        ]
    except (TypeError, ValueError):
        raise TrainingError(
            f"{path} has other values than dsa-train evaluate --per-query writes. Write it again."
        ) from None


def against(this: Sequence[Row], other: Sequence[Row], name: str) -> Against:
    """Compare the rows of two results, see `per_query.query_rows`; queries are paired by path.

    Raises TrainingError if a query of either is missing from the other, or none has a match in both.
    """
    theirs = {str(row["query"]): row for row in other}
    missing = [row["query"] for row in this if row["query"] not in theirs]
    if missing or len(theirs) != len(this):
        first = missing[0] if missing else next(key for key in theirs if key not in {row["query"] for row in this})
        raise TrainingError(
            f"{name} has {len(theirs)} queries, this result {len(this)}; {first} is only in one of them. Compare "
            "results on the same queries."
        )
    paired = [(row, theirs[str(row["query"])]) for row in this]
    one, two = (np.array([float(pair[n]["ap"]) for pair in paired]) for n in (0, 1))
    counted = np.isfinite(one) & np.isfinite(two)
    if not counted.any():
        raise TrainingError(f"No query has a match in both this result and {name}. Check the labels.")
    pids = np.array([int(row["pid"]) for row in this])
    here, there = (_first_hits([pair[n] for pair in paired], counted) for n in (0, 1))
    changes = [
        Change(str(row["query"]), float(a), float(b))
        for row, a, b in zip(this, one, two, strict=True)
        if np.isfinite(a - b)
    ]
    return Against(
        name,
        int(counted.sum()),
        len(np.unique(pids[counted])),
        float(one[counted].mean()),
        float(two[counted].mean()),
        paired_difference(one, two, pids, RESAMPLES, SEED),
        paired_difference(here, there, pids, RESAMPLES, SEED),
        sorted(changes, key=lambda change: (-change.gain, change.query)),
    )


def table(found: Against) -> str:
    """Return a comparison as text, in percent."""
    lines = [f"Against {found.other}, on {found.queries} queries of {found.identities} people. Percent."]
    for title, interval in (("mAP", found.mAP), ("Rank-1", found.rank1)):
        low, high = 100 * interval.low, 100 * interval.high
        lines.append(f"{title:8}{100 * interval.mean:+6.1f}  [{low:+.1f}, {high:+.1f}]")
    lines.append(
        f"mAP {100 * found.this_mAP:.1f} against {100 * found.other_mAP:.1f}. Intervals: 95%, over identities."
    )
    lines += [f"{100 * one.other:6.1f} -> {100 * one.this:5.1f}  {one.query}" for one in found.most_changed()] or [
        "No query changed."
    ]
    return "\n".join(lines)


def write_page(
    found: Against, this: Mapping[str, Ranking], other: Mapping[str, Ranking], root: Path, out: Path
) -> Path | None:
    """Render the rankings of the queries that changed most, this result's above the other's; return the PNG.

    Args:
        this, other: rankings by the query's key; without any of the other, only this result's are rendered.
        root: the folder of the images.

    Returns None if no query changed. Raises ImageError for an image that cannot be read.
    """
    rows = []
    for change in found.most_changed(RENDERED):
        for rankings, name, ap in ((this, "this", change.this), (other, "other", change.other)):
            if change.query in rankings:
                rows.append(dataclasses.replace(rankings[change.query], ap=ap, name=name))
    return write_png(out, page(rows, root)) if rows else None


def _first_hits(rows: Sequence[Row], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each query whether its first image matches, 1 or 0; NaN where it does not count."""
    first = np.array([float(row["first_rank"]) for row in rows])
    return np.where(counted, (first == 1).astype(float), np.nan)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
