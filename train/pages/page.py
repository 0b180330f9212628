"""The report as HTML: what its template shows, as plain values, and the template filled with them.

All text is escaped by the template. The page has a policy that forbids every request: images are data URIs, the script
is the one whose digest the policy names.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dsa_app.config import to_dict
from dsa_data.records import Record
from dsa_reid.body import REGION_NAMES
from dsa_reid.model import digest_of

from .. import report
from ..evaluation.config import EvaluateConfig
from ..evaluation.rankings import Hit, Ranking
from .choice import DISTRACTOR, Chosen, choose, confused, hardest
from .figure import Figure
from .figures import figures
from .findings import Findings
from .numbers import number_rows, paper_titles
from .pictures import Bodies, Crops, data_uri, hex_shade
from .query_heat_maps import RunHeatMaps, run_heat_maps
from .stores import DatasetFindings

T = TypeVar("T")
HERE = Path(__file__).parent
LISTED = 10  # confused pairs, and identities that are found least
HEAT_MAPS = 2  # of the worst and of the best queries, those with heat maps
PEOPLE, IMAGES = 6, 8  # of the dataset that are shown, and images of each at most
SOURCES = ("dsa-reid", "torch", "torchvision", "numpy", "opencv-python", "h5py")
KINDS = {"right": "right", "wrong": "wrong", "own": "own camera, not counted"}


@dataclasses.dataclass(frozen=True)
class Subject:
    """All that a report is made of.

    Args:
        runs: at least one, on the same queries.
        dataset, name: its findings and its name.
        records: its images.
        root: the folder of its images.
        manifest: of the dataset.
        config: of the evaluation.
        ceiling: an upper bound of measures, by their names; empty if none is known.
        ceiling_words: what the ceiling is.
        count: best, worst and further queries that are shown.
    """

    runs: Sequence[Findings]
    dataset: DatasetFindings
    records: Sequence[Record]
    name: str
    root: Path
    manifest: Path
    config: EvaluateConfig
    ceiling: Mapping[str, float]
    ceiling_words: str
    count: int


def render(subject: Subject) -> tuple[str, dict[str, Figure]]:
    """Return the page, the same for the same findings, and its figures. Raises ImageError for an image of a ranking."""
    drawn = figures(subject.runs, subject.dataset)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (HERE / "report.js").read_text(encoding="utf-8")
    values = {
        "title": f"{', '.join(run.name for run in subject.runs)} on {subject.name}",
        "style": (HERE / "report.css").read_text(encoding="utf-8"),
        "script": script,
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_numbers(subject),
        "figures": {name: _figure(one) for name, one in drawn.items()},
        "measured_by_epoch": any("mAP" in run.log for run in subject.runs),
        **_queries(subject),
        **_identities(subject),
        **_dataset(subject),
        **_provenance(subject),
    }
    return environment.get_template("report.html.jinja").render(values), drawn


def _numbers(subject: Subject) -> dict[str, Any]:
    first = subject.runs[0].metrics
    notes = []
    for run in subject.runs:
        about = f"{run.name}: " if len(subject.runs) > 1 else ""
        if run.without:
            notes.append(f"{about}The paper's row is not shown: {run.without}.")
        notes += [about + line for line in report.remarks(run.metrics)]
    counted = f"{first['queries']} searches (queries), each in {first['gallery']} images (gallery)."
    if first["queries_left_out"]:
        counted += f" {first['queries_left_out']} more have no right image in another camera and do not count."
    if words := first.get("protocol"):
        counted += f" Protocol: {words}."
    return {
        "runs": [run.name for run in subject.runs],
        "dataset_name": subject.name,
        "rows": number_rows(subject.runs, subject.ceiling),
        "papers": paper_titles(subject.runs),
        "ceiling_words": subject.ceiling_words,
        "counted": counted,
        "notes": notes,
    }


def _figure(one: Figure) -> dict[str, Any]:
    sources = [data_uri(plot.svg, "svg") if plot.svg else data_uri(plot.png, "png") for plot in one.plots]
    return {"title": one.title, "sentence": one.sentence, "alt": one.alt, "table": one.table, "sources": sources}


def _queries(subject: Subject) -> dict[str, Any]:
    by_key = [{one.query.key: one for one in run.rankings} for run in subject.runs]
    chosen = choose([run.rankings for run in subject.runs], subject.count)
    crops = Crops(subject.root)
    bodies = Bodies(subject.dataset.store, subject.dataset.turns) if subject.dataset.store else None
    cards = [_card(subject, one, [rankings[one.key] for rankings in by_key], crops, bodies) for one in chosen]
    return {
        "cards": cards,
        "query_cameras": sorted({card["camid"] for card in cards}),
        "groups": [
            name for name in ("worst", "between", "best", "changed") if any(name in one.groups for one in chosen)
        ],
        "all_queries": len(subject.runs[0].rankings),
        "heat_maps": _heat_maps(subject, chosen, crops),
        "regions": REGION_NAMES,
    }


def _heat_maps(subject: Subject, chosen: Sequence[Chosen], crops: Crops) -> list[dict[str, Any]]:
    """Return each run's heat maps of the worst and the best queries."""
    keys = [one.key for one in chosen]
    some = list(dict.fromkeys([*keys[:HEAT_MAPS], *keys[-HEAT_MAPS:]]))
    found: dict[str, RunHeatMaps] = {
        run.name: run_heat_maps(run.source, subject.root, some) if some else RunHeatMaps() for run in subject.runs
    }
    return [
        {
            "run": name,
            "reason": one.reason,
            "rows": [{"key": row.key, "src": crops.uri(row.key), "features": row.features} for row in one.queries],
        }
        for name, one in found.items()
    ]


def _card(
    subject: Subject, chosen: Chosen, rankings: Sequence[Ranking], crops: Crops, bodies: Bodies | None
) -> dict[str, Any]:
    """Return what the template shows of a query: a row of images for each run."""
    query = rankings[0].query
    rows = [
        _row(run, ranking, crops, bodies, len(subject.runs) > 1)
        for run, ranking in zip(subject.runs, rankings, strict=True)
    ]
    return {
        "key": query.key,
        "pid": query.pid,
        "camid": query.camid,
        "groups": chosen.groups,
        "src": crops.uri(query.key),
        "body": bodies.uri(query.key) if bodies else "",
        "charts": bodies.seen(query.key) if bodies else 0,
        "first": "right" if rows[0]["first"] == 1 else "wrong",
        "rows": rows,
    }


def _row(run: Findings, ranking: Ranking, crops: Crops, bodies: Bodies | None, named: bool) -> dict[str, Any]:
    first = next((hit.rank for hit in ranking.hits if hit.correct and hit.rank is not None), None)
    agreement = run.agreement.get(ranking.query.key)
    compared = [] if bodies is None else _compared(ranking)
    return {
        "run": run.name if named else "",
        "ap": f"{100 * ranking.ap:.1f}",
        "first": first,
        "listed": len(ranking.hits),
        "hits": [_hit(run, hit, crops) for hit in ranking.hits],
        "bodies": [
            {
                "what": what,
                "key": hit.record.key,
                "src": bodies.uri(hit.record.key),
                "charts": bodies.seen(hit.record.key),
            }
            for what, hit in compared
            if bodies is not None
        ],
        "agreement": [] if agreement is None else _agreement(agreement),
    }


def _hit(run: Findings, hit: Hit, crops: Crops) -> dict[str, Any]:
    chance = None if run.calibration is None else float(run.calibration.probability(hit.distance))
    return {
        "kind": _kind(hit),
        "words": KINDS[_kind(hit)],
        "rank": hit.rank,
        "key": hit.record.key,
        "pid": hit.record.pid,
        "camid": hit.record.camid,
        "distance": f"{hit.distance:.3f}",
        "probability": "" if chance is None else f"{chance:.2f}",
        "src": crops.uri(hit.record.key),
    }


def _kind(hit: Hit) -> str:
    return "own" if hit.rank is None else "right" if hit.correct else "wrong"


def _compared(ranking: Ranking) -> list[tuple[str, Hit]]:
    """Return the first right and the first wrong image of a ranking, with what they are."""
    found = []
    for kind, words in (("right", "first right image"), ("wrong", "first wrong image")):
        if hit := next((one for one in ranking.hits if _kind(one) == kind), None):
            found.append((words, hit))
    return found


def _agreement(values: np.ndarray) -> list[dict[str, Any]]:
    """Return a row a region, a cell a hit: its agreement, and its colour from pale to dark."""
    return [
        {"region": name, "cells": [_region_cell(float(value)) for value in column]}
        for name, column in zip(REGION_NAMES, values.T, strict=True)
    ]


def _region_cell(value: float) -> dict[str, str]:
    return {"text": f"{round(value, 2) + 0.0:.2f}", "colour": hex_shade((value + 1) / 2)}  # no minus before a zero


def _identities(subject: Subject) -> dict[str, Any]:
    crops = Crops(subject.root)

    def side(record: Record) -> dict[str, Any]:
        return {"key": record.key, "pid": record.pid, "camid": record.camid, "src": crops.uri(record.key)}

    return {
        "confused": [
            {
                "run": run.name,
                "pairs": [
                    {"times": one.times, "distance": f"{one.distance:.3f}", "sides": [side(one.query), side(one.other)]}
                    for one in confused(run.rankings, LISTED)
                ],
            }
            for run in subject.runs
        ],
        "hardest": [
            {
                "run": run.name,
                "people": [
                    {"pid": one.pid, "ap": f"{100 * one.ap:.1f}", "queries": one.queries}
                    for one in hardest(run.rankings, LISTED)
                ],
            }
            for run in subject.runs
        ],
    }


def _dataset(subject: Subject) -> dict[str, Any]:
    found = subject.dataset
    return {
        "people": _people(subject),
        "splits": found.splits,
        "maps": found.maps,
        "dataset_notes": found.notes,
    }


def _people(subject: Subject) -> list[dict[str, Any]]:
    """Return some people of the dataset, spread over all, each with images of as many cameras as there are."""
    by_pid: dict[int, list[Record]] = {}
    for record in sorted(subject.records, key=lambda record: (record.camid, record.key)):
        if record.pid > DISTRACTOR:
            by_pid.setdefault(record.pid, []).append(record)
    crops = Crops(subject.root)
    return [
        {
            "pid": pid,
            "images": [
                {"key": one.key, "camid": one.camid, "split": one.split, "src": crops.uri(one.key)}
                for one in _spread(by_pid[pid], IMAGES)
            ],
        }
        for pid in _spread(sorted(by_pid), PEOPLE)
    ]


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most `count` of the items, evenly spread over them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]


def _provenance(subject: Subject) -> dict[str, Any]:
    """Return settings, digests and versions: what made the numbers."""
    about = []
    for run in subject.runs:
        model = run.source if run.source.is_file() else run.source / "model.pt"
        lines = {"file": str(run.source)}
        lines |= {"SHA-256 of model.pt": digest_of(model)} if model.is_file() else {}
        if run.made is None:
            lines["settings"] = "not known"
        else:
            lines |= {"maps": run.made.maps or "none", "SHA-256 of its manifest": run.made.manifest}
            lines |= {"digest of its part images": run.made.store} if run.made.store else {}
        calibration = run.calibration
        lines["probabilities"] = (
            f"none: {run.uncalibrated}"
            if run.uncalibrated
            else "not calibrated"
            if calibration is None
            else f"fitted on {calibration.people} people, {calibration.images} images"
        )
        values = {} if run.made is None else run.made.values
        about.append({"run": run.name, "lines": lines, "values": {name: str(one) for name, one in values.items()}})
    return {
        "about": about,
        "evaluation": _flat(to_dict(subject.config)),
        "manifest": {
            "file": str(subject.manifest),
            "SHA-256": hashlib.sha256(subject.manifest.read_bytes()).hexdigest(),
        },
        "environment": environment_versions(),
    }


def environment_versions() -> dict[str, str]:
    """Return the versions of the programs that measured."""
    found = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in SOURCES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested settings by their dotted names."""
    found: dict[str, str] = {}
    for name, value in values.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: str(value)}
    return found
