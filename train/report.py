"""Results as text: the metrics as a table, with chance and the paper's numbers below."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsa_app.errors import TrainingError
from dsa_app.guard import guarded

from .evaluation.metrics import Result
from .evaluation.views import Bin
from .published import NOT_KNOWN, published, row_experiment
from .result_settings import UNKNOWN, short

COLUMNS = {
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "mAP": "mAP",
    "mINP": "mINP",
    "chance_mAP": "chance mAP",
}
COUNTS = ("queries", "queries_left_out", "gallery")
NUMBERS = (*COLUMNS, *COUNTS)
Metrics = Mapping[str, Any]  # the content of metrics.json


Papers = Mapping[str, Mapping[str, float | None]]  # rows of the paper by title, in percent


def papers(metrics: Metrics, dataset: str) -> tuple[Papers, str]:
    """Return the rows of the paper that stand beside metrics.json, and why there is none of those it would have.

    Args:
        dataset: that the rows are asked of.
    """
    made = metrics.get("settings") or {}
    measured_on = made.get("dataset")
    rows = published(dataset, made.get("experiment"), made.get("match", "main"), metrics.get("protocol", ""))
    if not rows:
        return {}, ""
    if measured_on is None:
        return {}, "of an earlier version, which did not say its dataset: evaluate again"
    other = "" if measured_on == dataset else f"measured on {measured_on}, and not on {dataset}"
    without = other or made.get("paper", "")
    return ({}, without) if without else (rows, "")


def table(metrics: Metrics, dataset: str, papers: Papers, without: str = "", foreign: bool = False) -> str:
    """Return metrics.json as text, in percent, the paper's numbers below.

    Args:
        dataset: that was measured on.
        papers, without: rows of the paper, and why there is none; see `papers`.
        foreign: whether the features are of another program, whose settings are not known.

    Remarks below say what else was measured than the table's titles say, and a result that is no better than chance.
    """
    rows = {dataset: [f"{100 * float(metrics[name]):.1f}" for name in COLUMNS]}
    for title, known in papers.items():
        rows[title] = [_published_cell(known, name) for name in COLUMNS]
    counted = f"{metrics['queries']} queries, {metrics['gallery']} gallery images"
    if metrics["queries_left_out"]:
        counted += f"; {metrics['queries_left_out']} queries have no match in another camera and do not count"
    lines = [text_table(list(COLUMNS.values()), rows), counted + ". Percent."]
    if any(value is None for known in papers.values() for value in known.values()):
        lines.append(f"{NOT_KNOWN}: a number of the paper that is not known here.")
    if metrics.get("protocol"):
        lines.append(f"Protocol: {metrics['protocol']}.")
    lines += [f"The paper's row is not shown: {without}."] if without else []
    return "\n".join(lines + remarks(metrics, foreign))


def _published_cell(known: Mapping[str, float | None], name: str) -> str:
    if name not in known:
        return ""
    value = known[name]
    return NOT_KNOWN if value is None else f"{value:.1f}"


def remarks(metrics: Metrics, foreign: bool = False) -> list[str]:
    """Return a line for what a reader would otherwise have to see from the numbers, or could not see."""
    lines = []
    if metrics["mAP"] <= metrics["chance_mAP"]:
        lines.append(
            f"mAP is not above that of random rankings ({100 * metrics['chance_mAP']:.1f}): these features do not "
            "separate identities. Is the network trained, and are the identities of the images right (dsa-data check)?"
        )
    made = metrics.get("settings")
    if not made and not foreign:
        lines.append(f"{UNKNOWN[0].upper()}{UNKNOWN[1:]}.")
    elif made and (changes := made.get("changes")):
        row = row_experiment(made.get("experiment", ""))
        lines.append(f"Settings other than those of {row}: {short(changes.split(', '))}.")
    return lines


def camera_table(pairs: Mapping[tuple[int, int], Result]) -> str:
    """Return Rank-1 and mAP in percent, a row a query camera, a column a gallery camera."""
    if not pairs:
        return "No person is in the query of one camera and the gallery of another: no cameras can be compared."
    q_camids, g_camids = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    rows = {
        f"query {q}": [
            f"{100 * pairs[q, g].rank(1):.1f} {100 * pairs[q, g].mAP:.1f}" if (q, g) in pairs else "" for g in g_camids
        ]
        for q in q_camids
    }
    title = "Rank-1 and mAP between cameras, with the gallery of one camera at a time. Percent."
    return "\n".join([title, text_table([f"gallery {g}" for g in g_camids], rows)])


def camera_measures(pairs: Mapping[tuple[int, int], Result]) -> list[dict[str, float | int]]:
    """Return the metrics between cameras as plain values."""
    return [
        {"query": q, "gallery": g, "rank1": result.rank(1), "mAP": result.mAP, "queries": result.queries}
        for (q, g), result in pairs.items()
    ]


def view_table(bins: Mapping[Bin, Result]) -> str:
    """Return Rank-1 and mAP in percent, a row a range of view differences."""
    rows = {
        f"{low} to {high} degrees": [f"{100 * result.rank(1):.1f}", f"{100 * result.mAP:.1f}", str(result.queries)]
        for (low, high), result in bins.items()
    }
    title = "By the angle between the views of query and match, the person's other images left out. Percent."
    return "\n".join([title, text_table(["Rank-1", "mAP", "queries"], rows)])


def view_measures(bins: Mapping[Bin, Result]) -> list[dict[str, float | int]]:
    """Return the metrics by view difference as plain values."""
    return [
        {"from": low, "to": high, "rank1": result.rank(1), "mAP": result.mAP, "queries": result.queries}
        for (low, high), result in bins.items()
    ]


def mean_of(files: Sequence[Path]) -> Metrics:
    """Return the mean of several metrics.json, of a protocol's splits; counts are added.

    Raises TrainingError for a file that is named twice, or files of several datasets.
    """
    twice = [path for n, path in enumerate(files) if path.resolve() in [one.resolve() for one in files[:n]]]
    if twice:
        raise TrainingError(f"{twice[0]} is named twice with --mean. Name one metrics.json for each split.")
    splits = [read(path) for path in files]
    fractions = {name: sum(split[name] for split in splits) / len(splits) for name in COLUMNS}
    counts = {name: sum(split[name] for split in splits) for name in COUNTS}
    settings = [{**(split.get("settings") or {})} for split in splits]
    datasets = sorted({one.get("dataset", "unknown") for one in settings})
    if len(datasets) > 1:
        raise TrainingError(f"The files of --mean are of several datasets, {', '.join(datasets)}. Name those of one.")
    without = next((reason for one in settings if (reason := one.pop("paper", ""))), "")
    for one in settings:
        one.pop("digest", None)
        one.pop("manifest", None)  # each split has its own
    if any(one != settings[0] for one in settings):
        settings[0]["changes"] = "the files are of different settings"
    settings[0] |= {"paper": without} if without else {}
    return {**fractions, **counts, "protocol": splits[0].get("protocol", ""), "settings": settings[0]}


def text_table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Return rows by title under their columns, as aligned text."""
    width = max(map(len, rows)) + 2
    lines = [" " * width + "".join(f"{name:>12}" for name in columns)]
    return "\n".join(lines + [f"{name:{width}}" + "".join(f"{cell:>12}" for cell in row) for name, row in rows.items()])


def read(path: Path) -> dict[str, Any]:
    """Read metrics.json. Raises TrainingError if it is missing or another file."""
    if not path.exists():
        raise TrainingError(f"{path} does not exist. Evaluate first: dsa-train evaluate.")
    with guarded(TrainingError, path, "is not JSON", "Evaluate again: dsa-train evaluate."):
        metrics = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(metrics, dict) or not all(isinstance(metrics.get(name), (int, float)) for name in NUMBERS):
        raise TrainingError(f"{path} is not a metrics.json. Evaluate again: dsa-train evaluate.")
    if not _are_texts(metrics.get("settings", {})) or not isinstance(metrics.get("protocol", ""), str):
        raise TrainingError(
            f"{path} is not a metrics.json: its settings are damaged. Evaluate again: dsa-train evaluate."
        )
    return metrics


def _are_texts(settings: Any) -> bool:
    return isinstance(settings, dict) and all(isinstance(value, str) for value in settings.values())


def made(artifacts: Path, run: Path) -> list[str]:
    """Return a line for each file of a dataset and a run that exists, with its content."""
    known = {
        artifacts / "manifest.csv": "the images: identity, camera, split, digest",
        artifacts / "iuv.h5": "I, U, V maps",
        artifacts / "dsap.h5": "24 part images of each image (DSAP)",
        run / "checkpoint.pt": "both streams and the state of the training, to resume it",
        run / "model.pt": "the main stream, for deployment: dsa_reid.load reads it",
        run / "settings.json": "the settings that made it",
        run / "live": "losses by epoch (DVCLive)",
        artifacts / "metrics.json": "Rank-k, mAP and mINP",
        artifacts / "cmc.json": "the CMC curve",
    }
    return [f"{path!s:60} {what}" for path, what in known.items() if path.exists()]
