"""From the results of an ablation to rows, claims and a table for people, the paper's numbers beside."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .claims import Claim, Difference, Result, Verdict, difference, verdict
from .rows import EVERY_ROW, Row

Rows = Sequence[Mapping[str, Any]]  # what tables_<dataset>.json holds
REFERENCE = "Two branches"
AT_RATE = ", errors × "  # in a row's name, before the rate of errors that the semantics were trained and tested with
AS_GOOD = 0.01  # mAP: what counts as no worse

# Each as Tables 3 to 5 show it; the paper's differences are in points of mAP on Market-1501.
CLAIMS = (
    Claim("two streams in training over two branches", "Only MF-Stream", REFERENCE, paper=4.2),
    Claim("fine over coarse alignment", "DSA", "CSA", paper=3.5),
    Claim("sum over concatenation", "Elem-add", "Concatenation + fc", paper=6.0),
    Claim("global: joint over single", "Global (Joint)", "Global (Single)", paper=2.7),
    Claim("local: joint over single", "Local (Joint)", "Local (Single)", paper=3.3),
    Claim("one stream as good as two at inference", "Only MF-Stream", "Two streams fused", AS_GOOD, paper=0.1),
    Claim("random erasing over plain", "Baseline + RE", "Baseline", paper=2.2),
    Claim("label smoothing over none", "Baseline + RE + LS", "Baseline + RE", paper=2.6),
    Claim("two branches over one", REFERENCE, "Baseline + RE + LS", paper=2.2),
)
# What the paper did not ask.
QUESTIONS = (
    Claim("the guide over one that is fed nothing", "Only MF-Stream", "Guide fed nothing"),
    Claim("the guide over one that is fed another's", "Only MF-Stream", "Guide fed another's"),
    Claim("the guide over its losses alone", "Only MF-Stream", "Losses without guide"),
    Claim("a teaching guide over two branches", "Guide teaches", REFERENCE),
    Claim("a teaching guide over the paper's", "Guide teaches", "Only MF-Stream"),
    Claim("fused features over two branches", "Two streams fused", REFERENCE),
)


class Judged(NamedTuple):
    """A claim, what was measured of it, and what that says."""

    claim: Claim
    found: Difference
    verdict: Verdict


def rows_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every row of the tables, the controls, what goes beyond, and each point of a curve.

    Args:
        results: of trainings, as `ablation.run_all` returns them.
    """
    found = [_row(row.title, row.table, row, _of(results, row.experiment)) for row in EVERY_ROW]
    at_rates = dict.fromkeys((one["experiment"], one["rate"]) for one in results if one["rate"] is not None)
    for experiment, rate in at_rates:
        by_match = {row.match: row for row in reversed(EVERY_ROW) if row.experiment == experiment}
        for row in (by_match[match] for match in ("main", "fused") if match in by_match):
            found.append(_row(f"{row.title}{AT_RATE}{rate:g}", "curve", row, _of(results, experiment, rate)))
    return [row for row in found if row["seeds"]]


def _of(results: Sequence[Mapping[str, Any]], experiment: str, rate: float | None = None) -> list[Mapping[str, Any]]:
    return [one for one in results if (one["experiment"], one["rate"]) == (experiment, rate)]


def _row(title: str, table: int | str, row: Row, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measured = [result["matches"][row.match] for result in results]
    known = row.mAP is not None and table != "curve"
    paper = {"paper": {"mAP": row.mAP, "rank1": row.rank1}} if known else {}
    return {
        "name": title,
        "table": table,
        "experiment": row.experiment,
        "match": row.match,
        **({"rate": results[0]["rate"]} if table == "curve" else {}),
        "seeds": [result["seed"] for result in results],
        **{name: [round(one[name], 6) for one in measured] for name in ("mAP", "rank1")},
        "views": _means([one.get("views", {}) for one in measured]),
        **paper,
    }


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = found[0] if found else {}
    return {name: round(statistics.mean(one[name] for one in found), 6) for name in names}


def result(rows: Rows, name: str) -> Result | None:
    """Return one row's results by its name, or None if there are none yet."""
    return next((as_result(row) for row in rows if row["name"] == name), None)


def as_result(row: Mapping[str, Any]) -> Result:
    """Return a row as what claims are judged by."""
    return Result(row["name"], row["seeds"], row["mAP"], row["rank1"])


def judged(rows: Rows, claims: Sequence[Claim]) -> list[Judged]:
    """Return what the rows say of the claims; those of which a row is missing are left out."""
    found = []
    for claim in claims:
        better, worse = result(rows, claim.better), result(rows, claim.worse)
        if better and worse:
            measured = difference(better, worse)
            found.append(Judged(claim, measured, verdict(measured, claim.as_good)))
    return found


def goals(rows: Rows) -> list[str]:
    """Say at each rate of errors how far a taught main stream has come from two branches to its own fused features."""
    plain = result(rows, REFERENCE)
    rates = {row["name"].rsplit(AT_RATE, 1)[-1] for row in rows if row["table"] == "curve"}
    found = []
    for end in ["", *(f"{AT_RATE}{rate}" for rate in sorted(rates, key=float))]:
        taught, fused = result(rows, f"Guide teaches{end}"), result(rows, f"Guide teaches, fused{end}")
        if not (taught and fused and plain):
            continue
        gain, reach = difference(taught, plain), difference(fused, plain)
        way = f"{100 * gain.mean / reach.mean:.0f}%" if reach.mean > 0 else "nothing to come by: fused is below"
        found.append(
            f"  {f'Guide teaches{end}':30}main {100 * gain.mean:+.1f}, fused {100 * reach.mean:+.1f} points: {way}"
        )
    return found


def table(rows: Rows) -> str:
    """Return everything as text: rows, claims, and where nothing can be told."""
    reference = result(rows, REFERENCE)
    lines = [
        "mAP and Rank-1 in percent, mean and deviation over seeds; the difference to "
        f"{REFERENCE!r} in points of mAP, paired by seed, with its 95% interval.",
        "",
        f"{'':9}{'row':34}{'seeds':>5}{'mAP':>13}{'Rank-1':>13}{'difference':>24}{'paper: mAP':>12}{'Rank-1':>8}",
    ]
    for row in rows:
        own = as_result(row)
        beside = "" if reference is None or row["name"] == REFERENCE else signed(difference(own, reference))
        paper = row.get("paper", {})
        published = f"{paper['mAP']:12.1f}{paper['rank1']:8.1f}" if paper else ""
        kind = f"Table {row['table']}" if isinstance(row["table"], int) else row["table"]
        lines.append(
            f"{kind:9}{row['name']:34}{len(row['seeds']):5}{spread(row['mAP']):>13}{spread(row['rank1']):>13}"
            f"{beside:>24}{published}"
        )
    for title, claims in (("The paper's claims", CLAIMS), ("What it did not ask", QUESTIONS)):
        lines += ["", f"{title}, in points of mAP:", *map(_sentence, judged(rows, claims))]
    if goals(rows):
        lines += ["", f"How far a taught main stream comes from {REFERENCE!r} to its own fused features:", *goals(rows)]
    return "\n".join(lines)


def _sentence(one: Judged) -> str:
    paper = "" if one.claim.paper is None else f"   (paper: {one.claim.paper:+.1f})"
    return f"  {one.claim.says:44}{signed(one.found):>24}   {one.verdict}{paper}"


def spread(values: Sequence[float]) -> str:
    """Return the mean of fractions with their deviation, in percent."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ±{100 * statistics.stdev(values):4.1f}"


def signed(found: Difference) -> str:
    """Return a difference of fractions in points, with its interval."""
    if found.seeds == 0:
        return "no seed in common"
    reach = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]" if found.seeds > 1 else "one seed"
    return f"{100 * found.mean:+.1f} {reach}"
