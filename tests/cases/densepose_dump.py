"""Dumps as detectron2's `apply_net.py dump` writes them, by classes of the same names and fields.

As in detectron2 at 02b5c4e: a torch.save of a list of dictionaries; before 2022-10-31 a pickle.dump of it, and before
2020-10-12 with DensePoseResult, whose results are PNGs in base64.
"""

from __future__ import annotations

import base64
import io
import pickle
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

CONFIDENCES = ("sigma_1", "sigma_2", "kappa_u", "kappa_v", "fine_segm_confidence", "coarse_segm_confidence")
MODULES = {
    "densepose.structures.chart_result": {
        "DensePoseChartResult": ["labels", "uv"],
        "DensePoseChartResultWithConfidences": ["labels", "uv", *((name, Any, None) for name in CONFIDENCES)],
        "DensePoseChartResultQuantized": ["labels_uv_uint8"],
        "DensePoseChartResultCompressed": ["shape_chw", "labels_uv_str"],
    },
    "densepose.structures.cse": {"DensePoseEmbeddingPredictorOutput": ["embedding", "coarse_segm"]},
    "densepose.structures": {"DensePoseResult": ["results", "boxes_xywh"]},
    "densepose.data.structures": {"DensePoseResult": ["results", "boxes_xywh"]},
}


@contextmanager
def densepose() -> Iterator[types.SimpleNamespace]:
    """Offer detectron2's classes under their own names, as long as the context lasts."""
    classes, before = {}, dict(sys.modules)
    try:
        for module in MODULES:
            names = module.split(".")
            for end in range(1, len(names) + 1):
                sys.modules[".".join(names[:end])] = types.ModuleType(".".join(names[:end]))
        for module, definitions in MODULES.items():
            for name, fields in definitions.items():
                made = make_dataclass(name, fields, namespace={"__module__": module})
                setattr(sys.modules[module], name, made)
                classes[name if module != "densepose.data.structures" else "OldDensePoseResult"] = made
        yield types.SimpleNamespace(**classes)
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def png_of(values: np.ndarray) -> str:
    """Return uint8 (3, h, w) as DensePose keeps it: a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(values, 0, -1)).save(file, format="png", optimize=True)
    return base64.encodebytes(file.getvalue()).decode()


def quantised(labels: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Return labels and uv as quantize_densepose_chart_result does: uint8 (3, h, w)."""
    values = torch.zeros((3, *labels.shape), dtype=torch.uint8)
    values[0] = labels
    values[1:] = (uv * 255).clamp(0, 255).byte()
    return values


def person(box: tuple[float, float, float, float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels int64 (h, w) and uv float32 (2, h, w) in the integer box of XYXY."""
    x0, y0, x1, y1 = torch.tensor(box)
    w, h = max(int(x1 - x0), 1), max(int(y1 - y0), 1)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 25, (h, w), generator=generator)
    return labels, torch.rand((2, h, w), generator=generator) * (labels > 0)


def dump_of_one(form: str, box: tuple[float, float, float, float]) -> bytes:
    """Return the bytes of a dump of one image a.jpg with one person, see `save`."""
    with densepose() as classes, tempfile.TemporaryDirectory() as folder:
        entry = {
            "file_name": "x/a.jpg",
            "scores": torch.tensor([0.5]),
            "pred_boxes_XYXY": torch.tensor([box]),
            "pred_densepose": [classes.DensePoseChartResultWithConfidences(*person(box))],
        }
        return save(Path(folder) / "a.pkl", [entry], form).read_bytes()


def save(path: Path, content: list[dict[str, Any]], form: str) -> Path:
    """Write a dump by torch.save or by pickle.dump."""
    if form == "torch.save":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, int(form)))
    return path
