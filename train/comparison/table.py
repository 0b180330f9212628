"""A comparison as text, CSV and plain values."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsa_reid.atomic import write_atomic

from .rows import Row

HEAD = ("dataset", "model", "guide", "Rank-1", "mAP", "million parameters", "GFLOP", "images/s", "ms/image")
TEXTS = 3  # of these columns; the others are numbers


def text(rows: Sequence[Row]) -> str:
    """Return the table, with lines that say what was measured where."""
    lines = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if index < TEXTS else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    notes = [
        "Rank-1 and mAP in percent; parameters and GFLOP of one image of what is deployed, a multiplication and an "
        "addition counted as two."
    ]
    machines = sorted({row.machine for row in rows if row.machine})
    notes += [f"Images a second through the network, without reading and decoding: {'; '.join(machines)}."] * bool(
        machines
    )
    protocols = sorted({f"{row.dataset}: {row.protocol}" for row in rows if row.protocol})
    notes += [f"Protocol of {one}." for one in protocols]
    if any(row.mAP is None for row in rows):
        notes.append(
            "Not trained: that run has no model.pt. Train it: dsa-train run --dataset DATASET --experiment MODEL."
        )
    return "\n".join([*table, "", *notes])


def _cells(row: Row) -> tuple[str, ...]:
    guide = {None: "", True: "yes", False: "no"}[row.guide]
    if row.mAP is None or row.rank1 is None:
        return (row.dataset, row.model, guide, "not trained", "", "", "", "", "")
    measured = (f"{100 * row.rank1:.1f}", f"{100 * row.mAP:.1f}")
    if row.parameters is None or row.flops is None or row.images_per_second is None:
        return (row.dataset, row.model, guide, *measured, "", "", "", "")
    speed = (f"{row.images_per_second:.1f}", f"{1000 / row.images_per_second:.2f}")
    return (row.dataset, row.model, guide, *measured, f"{row.parameters / 1e6:.2f}", f"{row.flops / 1e9:.2f}", *speed)


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as plain values, for JSON."""
    return [dataclasses.asdict(row) for row in rows]


def write_csv(rows: Sequence[Row], path: Path) -> Path:
    """Write the rows as CSV, a column for each of their attributes; return the file."""
    made = io.StringIO()
    writer = csv.DictWriter(made, [field.name for field in dataclasses.fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain(rows))
    return write_atomic(path, made.getvalue().encode())
