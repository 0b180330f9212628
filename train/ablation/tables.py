"""The results of an ablation as rows, as claims, and as a table with the paper's numbers beside them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dsa_app.errors import TrainingError
from dsa_app.guard import guarded

from ..published import EVERY_ROW, TABLES_DATASET, Row
from .claims import Claim, Difference, Result, Verdict, difference, verdict

LARGEST = 2**63  # of a number in a row
Rows = Sequence[Mapping[str, Any]]  # of a tables.json
KINDS = (3, 4, 5, "control", "beyond", "regions", "curve")  # of rows: the paper's tables, and others
REFERENCE = "Two branches"
AT_RATE = ", errors × "  # in a row's name, before the error rate of the semantics it was trained and tested with
VISIBLE: Final = "visible"  # a row's name ends so, and its match is this, where `evaluate.distance` is "visible"
AS_GOOD = 0.01  # mAP: a result that is lower by at most this counts as no worse

# As Tables 3 to 5 and section 4.4 have them; the paper's differences are in points of mAP on Market-1501.
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
    # section 4.4 beside the tables: each stream's guide alone, and coarse parts, over the strongest baseline
    Claim("global: single over baseline", "Global (Single)", "Baseline + RE + LS", paper=3.5),
    Claim("local: single over baseline", "Local (Single)", "Baseline + RE + LS", paper=2.0),
    Claim("coarse alignment over baseline", "CSA", "Baseline + RE + LS", paper=2.9),
    Claim("fused over global single", "Two streams fused", "Global (Single)", paper=2.8),
    Claim("fused over local single", "Two streams fused", "Local (Single)", paper=4.3),
)
# Beyond the paper.
QUESTIONS = (
    Claim("the guide over one without input", "Only MF-Stream", "Guide fed nothing"),
    Claim("the guide over one with another's input", "Only MF-Stream", "Guide fed another's"),
    Claim("the guide over one with the average map", "Only MF-Stream", "Guide by average map"),
    Claim("the guide over its losses alone", "Only MF-Stream", "Losses without guide"),
    Claim("distillation over two branches", "Distillation", REFERENCE),
    Claim("distillation over the paper's guide", "Distillation", "Only MF-Stream"),
    Claim("fused features over two branches", "Two streams fused", REFERENCE),
    Claim("regions over two branches", "Regions", REFERENCE),
    Claim("regions over those of other people's maps", "Regions", "Regions, others' maps"),
    Claim("regions over the mean regions", "Regions", "Mean regions"),
    Claim("regions over free attention", "Regions", "Free attention"),
    Claim("regions over stripes", "Regions", "Stripes"),
    Claim("two levels over one", "Two levels", "Regions"),
    Claim("regions at two levels over those of others' maps", "Two levels", "Two levels, others'"),
    Claim("regions at two levels over two branches", "Two levels", REFERENCE),
    Claim("regions at two levels over the mean regions", "Two levels", "Two levels, mean"),
    Claim("losses of the parts over two branches", "Two levels, of parts", REFERENCE),
    Claim("losses of the parts: own over others' maps", "Two levels, of parts", "Of parts, others'"),
    Claim("losses of the parts: own over mean regions", "Two levels, of parts", "Of parts, mean"),
    Claim("losses of the parts: regions over average", "Two levels, of parts", "Of parts, average"),
    Claim("visible regions compared over all", "Two levels, visible", "Two levels"),
    Claim("losses of the parts, visible, over two branches", "Two levels, of parts, visible", REFERENCE),
    Claim("losses of the parts: visible over all", "Two levels, of parts, visible", "Two levels, of parts"),
)


class Judged(NamedTuple):
    """A claim, the difference that was measured, and the verdict on it."""

    claim: Claim
    measured: Difference
    verdict: Verdict


class Gain(NamedTuple):
    """What a distilled main stream and its fused features gain over two branches."""

    name: str
    main: Difference
    fused: Difference


def rows_of(results: Sequence[Mapping[str, Any]], dataset: str = "") -> list[dict[str, Any]]:
    """Return a row for every row of the tables, the controls, what goes beyond, and each point of a curve.

    A row whose networks predict regions has one more beside it, measured by distances of visible regions.

    Args:
        results: of trainings, as `runner.run_all` returns them.
        dataset: its name; the paper's numbers stand beside those of its own dataset and protocol alone.
    """
    rows = []
    for row in EVERY_ROW:
        own = _of(results, row.experiment)
        rows.append(_row(row.title, row.table, row, own, dataset))
        if row.match == "main" and all(VISIBLE in one["matches"] for one in own):
            rows.append(_row(f"{row.title}, {VISIBLE}", row.table, row, own, dataset, VISIBLE))
    at_rates = dict.fromkeys((one["experiment"], one["rate"]) for one in results if one["rate"] is not None)
    for experiment, rate in at_rates:
        by_match = {row.match: row for row in reversed(EVERY_ROW) if row.experiment == experiment}
        for row in (by_match[match] for match in ("main", "fused") if match in by_match):
            rows.append(_row(f"{row.title}{AT_RATE}{rate:g}", "curve", row, _of(results, experiment, rate), dataset))
    return [row for row in rows if row["seeds"]]


def _of(results: Sequence[Mapping[str, Any]], experiment: str, rate: float | None = None) -> list[Mapping[str, Any]]:
    return [one for one in results if (one["experiment"], one["rate"]) == (experiment, rate)]


def _row(
    title: str,
    table: int | str,
    row: Row,
    results: Sequence[Mapping[str, Any]],
    dataset: str,
    match: str | None = None,
) -> dict[str, Any]:
    changes = list(results[0].get("changes", ())) if results else []
    measured = [result["matches"][match or row.match] for result in results]
    comparable = dataset == TABLES_DATASET and not any(change.startswith("evaluate.") for change in changes)
    known = comparable and row.mAP is not None and table != "curve"
    paper = {"paper": {"mAP": row.mAP, "rank1": row.rank1}} if known else {}
    return {
        "name": title,
        "table": table,
        "experiment": row.experiment,
        "match": match or row.match,
        **({"rate": results[0]["rate"]} if table == "curve" else {}),
        "seeds": [result["seed"] for result in results],
        **{name: [round(one[name], 6) for one in measured] for name in ("mAP", "rank1")},
        "changes": changes,
        "views": _means([one.get("views", {}) for one in measured]),
        **paper,
    }


def _means(by_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = by_seed[0] if by_seed else {}
    return {name: round(statistics.mean(one[name] for one in by_seed), 6) for name in names}


def read_rows(path: Path) -> Rows:
    """Read the rows of a tables.json. Raises TrainingError if it is missing or another file."""
    if not path.exists():
        raise TrainingError(f"{path} does not exist. Make it: dsa-train ablation.")
    with guarded(TrainingError, path, "is not JSON", "Make it again: dsa-train ablation."):
        rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
        raise TrainingError(f"{path} does not contain rows of an ablation. Name a file that dsa-train ablation wrote.")
    return rows


def _is_row(row: Any) -> bool:
    """Return whether `row` has what the table and the figure need."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str) or row.get("table") not in KINDS:
        return False
    changes = row.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(change, str) for change in changes):
        return False
    paper = row.get("paper", {"mAP": 0, "rank1": 0})
    if not isinstance(paper, dict) or not all(_is_number(paper.get(name)) for name in ("mAP", "rank1")):
        return False
    numbers = [row.get(name) for name in ("seeds", "mAP", "rank1")]
    if row["table"] == "curve":
        numbers.append([row.get("rate")] * len(numbers[0] or ()))
    return all(
        isinstance(one, list) and 0 < len(one) == len(numbers[0] or ()) and all(map(_is_number, one)) for one in numbers
    )


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that can be printed as a share or a seed: finite, and of a sensible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def result(rows: Rows, name: str) -> Result | None:
    """Return the results of the row with this name; None if it has none yet."""
    return next((as_result(row) for row in rows if row["name"] == name), None)


def as_result(row: Mapping[str, Any]) -> Result:
    """Return a row in the form that claims are tested on."""
    return Result(row["name"], row["seeds"], row["mAP"], row["rank1"])


def judged(rows: Rows, claims: Sequence[Claim]) -> list[Judged]:
    """Return the verdicts on claims; those with a missing row are left out."""
    verdicts = []
    for claim in claims:
        better, worse = result(rows, claim.better), result(rows, claim.worse)
        if better and worse:
            measured = difference(better, worse)
            verdicts.append(Judged(claim, measured, verdict(measured, claim.as_good)))
    return verdicts


def distillation_gains(rows: Rows) -> list[str]:
    """Return at each error rate the gain of a distilled main stream over two branches, and that of its fused features.

    The percentage is the first gain as a part of the second: how much of what the guide knows the main stream has
    learnt.
    """
    lines = []
    for gain in _gains(rows):
        part = f"{100 * gain.main.mean / gain.fused.mean:.0f}%" if gain.fused.mean > 0 else "none, fused is not above"
        lines.append(
            f"  {gain.name:30}main {100 * gain.main.mean:+.1f}, fused {100 * gain.fused.mean:+.1f} points: {part}"
        )
    return lines


def _gains(rows: Rows) -> Iterator[Gain]:
    """Yield the gains of distillation over two branches, without errors and at each error rate."""
    reference = result(rows, REFERENCE)
    rates = {row["name"].rsplit(AT_RATE, 1)[-1] for row in rows if row["table"] == "curve"}
    for end in ["", *(f"{AT_RATE}{rate}" for rate in sorted(rates, key=float))]:
        main, fused = result(rows, f"Distillation{end}"), result(rows, f"Distillation, fused{end}")
        if main and fused and reference:
            yield Gain(f"Distillation{end}", difference(main, reference), difference(fused, reference))


def plain(rows: Rows) -> dict[str, Any]:
    """Return rows and verdicts as plain values, for JSON: fractions, and None for what is not finite."""
    reference = result(rows, REFERENCE)

    def beside(row: Mapping[str, Any]) -> dict[str, Any] | None:
        known = reference is not None and row["name"] != REFERENCE
        return _plain(difference(as_result(row), reference)) if known and reference else None

    return {
        "reference": REFERENCE,
        "rows": [{**row, "difference": beside(row)} for row in rows],
        "claims": [_plain_verdict(one) for one in judged(rows, CLAIMS)],
        "comparisons": [_plain_verdict(one) for one in judged(rows, QUESTIONS)],
        "distillation": [
            {"row": one.name, "main": _plain(one.main), "fused": _plain(one.fused)} for one in _gains(rows)
        ],
    }


def _plain_verdict(one: Judged) -> dict[str, Any]:
    claim = one.claim
    named = {"claim": claim.words, "better": claim.better, "worse": claim.worse, "as_good": claim.as_good}
    return {**named, "paper_points": claim.paper, "difference": _plain(one.measured), "verdict": one.verdict}


def _plain(measured: Difference) -> dict[str, Any]:
    values = {name: value if math.isfinite(value) else None for name, value in measured._asdict().items()}
    return {**values, "seeds": measured.seeds}


def table(rows: Rows) -> str:
    """Return rows and verdicts as text."""
    reference = result(rows, REFERENCE)
    lines = [
        "mAP and Rank-1 in percent, mean and deviation over seeds; the difference to "
        f"{REFERENCE!r} in points of mAP, paired by seed, with its 95% interval.",
        "",
        f"{'':9}{'row':34}{'seeds':>5}{'mAP':>13}{'Rank-1':>13}{'difference':>24}"
        + (f"{'paper: mAP':>12}{'Rank-1':>8}" if any(row.get("paper") for row in rows) else ""),
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
    lines += settings_lines(rows)
    for title, claims in (("The paper's claims", CLAIMS), ("Further comparisons", QUESTIONS)):
        if found := judged(rows, claims):
            lines += ["", f"{title}, in points of mAP:", *map(_sentence, found)]
    if gains := distillation_gains(rows):
        lines += [
            "",
            f"Distillation: gain of the main stream over {REFERENCE!r}, and its part of the fused features' gain:",
            *gains,
        ]
    return "\n".join(lines)


def settings_lines(rows: Rows) -> list[str]:
    """Return which settings were others than those of the rows' experiments: of all rows, then of some.

    Rows of an earlier version do not say it, and have no line.
    """
    known = [row for row in rows if "changes" in row and row["table"] != "curve"]
    common = [one for one in (known[0]["changes"] if known else ()) if all(one in row["changes"] for row in known)]
    lines = [f"Settings other than the experiments', of all rows: {', '.join(common)}."] if common else []
    others: dict[str, list[str]] = {}
    for row in known:
        if own := ", ".join(one for one in row["changes"] if one not in common):
            others.setdefault(own, []).append(row["name"])
    lines += [f"{own}: {'; '.join(names)}." for own, names in others.items()]
    return ["", *lines] if lines else []


def _sentence(one: Judged) -> str:
    paper = "" if one.claim.paper is None else f"   (paper, on Market-1501: {one.claim.paper:+.1f})"
    return f"  {one.claim.words:44}{signed(one.measured):>24}   {one.verdict}{paper}"


def spread(values: Sequence[float]) -> str:
    """Return the mean of fractions with their standard deviation, in percent."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ±{100 * statistics.stdev(values):4.1f}"


def signed(measured: Difference) -> str:
    """Return a difference of fractions in points, with its interval."""
    if measured.seeds == 0:
        return "no seed in common"
    interval = f"[{100 * measured.low:+.1f}, {100 * measured.high:+.1f}]" if measured.seeds > 1 else "one seed"
    return f"{100 * measured.mean:+.1f} {interval}"
