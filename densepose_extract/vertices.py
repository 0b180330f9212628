"""The table that gives each vertex of the mesh smpl_27554 its chart, u and v: what the maps of CSE models need.

detectron2 publishes no such table, but the annotations of DensePose-COCO twice: with chart, u and v of each point, and
with its vertex. A vertex gets the chart that most of its points have, and the mean u and v of these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import ConfigError
from dsa_app.guard import guarded
from dsa_data.charts import CHARTS
from dsa_reid.atomic import atomic

from .engines.numpy_file import arrays_of
from .network.embedding import VERTICES
from .weights.download import digest

FIELDS = ("I", "u", "v")
MAKE = "Make it from DensePose-COCO's annotations: densepose-extract vertices IUV.json CSE.json --out vertices.npz"
MESH = "smpl_27554"
NEAR = 100  # points are the same if their coordinates are, in hundredths


@dataclass(frozen=True)
class Vertices:
    """Where the vertices are on the charts.

    Attributes:
        chart: uint8 (27554,), 0 for vertices of which nothing is known.
        u, v: float32 (27554,), in 0 .. 1.
        digest: SHA-256 of the file.
    """

    chart: np.ndarray
    u: np.ndarray
    v: np.ndarray
    digest: str = ""


def read_vertices(path: Path) -> Vertices:
    """Read a table: an .npz with `I`, `u` and `v`, a number each for every vertex.

    Raises ConfigError for a file that is missing or has another content.
    """
    if not path.is_file():
        raise ConfigError(f"extract.vertices: {path} is not a file. {MAKE}")
    with guarded(ConfigError, path, "is not a table of vertices", MAKE):
        arrays = arrays_of(path.read_bytes())
        chart, u, v = (np.asarray(arrays[name]) for name in FIELDS)
        whole = chart.dtype.kind in "iu" and int(chart.min()) >= 0 and 0 < int(chart.max()) <= CHARTS
        if not whole or any(array.shape != (VERTICES,) for array in (chart, u, v)):
            raise ValueError(f"expected I (charts 0 to {CHARTS}), u and v of {VERTICES} vertices")
        coordinates = np.stack([u, v]).astype(np.float32)
        if not ((coordinates >= 0) & (coordinates <= 1)).all():
            raise ValueError("u and v are not all between 0 and 1")
    return Vertices(chart.astype(np.uint8), coordinates[0], coordinates[1], digest(path))


def make_vertices(charts: Sequence[Path], vertices: Sequence[Path]) -> Vertices:
    """Return the table by annotations of DensePose-COCO.

    Args:
        charts: files with `dp_I`, `dp_U`, `dp_V` of each point (densepose_minival2014.json, …).
        vertices: files with `dp_vertex` of the same points (densepose_minival2014_cse.json, …).

    Raises ConfigError for files without common points.
    """
    placed: dict[Any, dict[tuple[int, int], tuple[int, float, float]]] = {}
    for path in charts:
        for note in read_notes(path, ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V")):
            values = zip(note["dp_I"], note["dp_U"], note["dp_V"], strict=True)
            placed[note["id"]] = {point: (int(i), u, v) for point, (i, u, v) in zip(points(note), values, strict=True)}
    count = np.zeros((VERTICES, CHARTS + 1), np.int64)
    total = np.zeros((VERTICES, CHARTS + 1, 2))
    for path in vertices:
        for note in read_notes(path, ("dp_x", "dp_y", "dp_vertex")):
            known = placed.get(note["id"], {})
            if note.get("ref_model", MESH) != MESH:
                continue
            for point, vertex in zip(points(note), note["dp_vertex"], strict=True):
                if point in known and 0 <= vertex < VERTICES:
                    chart, u, v = known[point]
                    count[vertex, chart] += 1
                    total[vertex, chart] += u, v
    if not count.any():
        raise ConfigError(f"{charts[0]} and {vertices[0]} have no point in common. Use files of the same images.")
    chart = count.argmax(axis=1)
    chosen = np.arange(VERTICES), chart
    mean = total[chosen] / np.maximum(count[chosen], 1)[:, None]
    u, v = np.clip(mean, 0, 1).T.astype(np.float32)
    return Vertices(chart.astype(np.uint8), u, v)


def read_notes(path: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Return the annotations of a file that have all these fields. Raises ConfigError for another file."""
    if not path.is_file():
        raise ConfigError(f"{path} is not a file. Name a file of DensePose-COCO's annotations, *.json.")
    with guarded(ConfigError, path, "is not a file of annotations", "Name one of DensePose-COCO's, *.json."):
        notes = json.loads(path.read_text(encoding="utf-8"))["annotations"]
        return [note for note in notes if all(field in note for field in fields)]


def points(note: dict[str, Any]) -> list[tuple[int, int]]:
    """Return the coordinates of an annotation's points in hundredths."""
    return [(round(NEAR * x), round(NEAR * y)) for x, y in zip(note["dp_x"], note["dp_y"], strict=True)]


def write_vertices(path: Path, table: Vertices) -> Path:
    """Write a table as .npz, whole or not at all."""
    with atomic(path) as part, part.open("wb") as file:
        np.savez(file, I=table.chart, u=table.u, v=table.v)
    return path
