"""Part masks of other parsers, as maps of I alone: a label a pixel, and a mapping from labels to charts.

A mask has no u and v and mostly no front and back: it serves coarse parts and regions. The mappings that come with the
project are in `densepose_extract/mappings/`, each with the source of its labels.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from dsa_app.config import read_yaml, suggestion
from dsa_app.errors import ConfigError, ImageError
from dsa_app.guard import guarded
from dsa_app.wording import shown
from dsa_data import walk
from dsa_data.charts import CHARTS
from dsa_data.npy import array_of
from dsa_reid.decoding.limits import check_size

from .map_files import ARRAYS, ENDINGS, MapValues
from .numpy_file import arrays_of

LABELS = 1 << 16  # more than any parser has
SEG_NAME = re.compile(r"(?P<stem>.+)_seg\.(png|npy|npz)", re.IGNORECASE)  # as Sapiens names its labels
MAPPINGS = resources.files("densepose_extract") / "mappings"


def read_mapping(name: str) -> dict[int, int]:
    """Return the chart of each label, from a file or from one of the mappings that come with the project.

    Raises ConfigError for a file that is missing, or that is not `mapping: {LABEL: CHART, ...}`.
    """
    known = sorted(Path(file.name).stem for file in MAPPINGS.iterdir() if file.name.endswith(".yaml"))
    path = Path(name)
    if name in known:
        with resources.as_file(MAPPINGS / f"{name}.yaml") as file:
            content = read_yaml(file)
    elif path.is_file():
        content = read_yaml(path)
    else:
        raise ConfigError(
            f"extract.mapping = {shown(name)} is no file and no mapping of this project, which are: "
            f"{', '.join(known)}.{suggestion(name, known)}"
        )
    mapping = content.get("mapping")
    if set(content) != {"mapping"} or not isinstance(mapping, dict) or not mapping:
        raise ConfigError(f"{name}: expected only `mapping: {{LABEL: CHART, ...}}`, charts from 1, 0 for no part.")
    for label, chart in mapping.items():
        whole = all(type(number) is int for number in (label, chart))
        if not (whole and 0 <= label < LABELS and 0 <= chart <= CHARTS):
            raise ConfigError(
                f"{name}: mapping has {shown(label)}: {shown(chart)}, expected a label from 0 and a chart from 0 to "
                f"{CHARTS}."
            )
    return dict(mapping)


def mask_stems(folder: Path) -> dict[str, str]:
    """Return the stem of every mask below a folder, by its path: of those named a_seg.npy if there are any, else all.

    Sapiens writes a_seg.npy with the labels, a.npy with the person and a.png to look at.
    """
    names = sorted(walk.files_below(folder))
    named = {name: match["stem"] for name in names if (match := SEG_NAME.fullmatch(Path(name).name))}
    stems = named or {name: Path(name).stem for name in names if Path(name).suffix.lower() in ENDINGS}
    return {name: unicodedata.normalize("NFC", stem) for name, stem in stems.items()}


def decode_parts(data: bytes, path: Path, mapping: Mapping[int, int]) -> MapValues:
    """Return a mask as a map of I alone.

    Raises ImageError for a file that does not decode, holds no labels, or has a label that the mapping does not name.
    """
    labels = _array(data, path) if path.suffix.lower() in ARRAYS else _png(data, path)
    if labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() >= LABELS:
        raise ImageError(f"{path} has labels {labels.dtype} {labels.shape}, expected whole numbers (H, W) from 0.")
    found = np.unique(labels)
    unknown = [int(label) for label in found if int(label) not in mapping]
    if unknown:
        raise ImageError(
            f"{path} has the label {unknown[0]}, which the mapping does not name. Add {unknown[0]}: CHART to it, or "
            f"{unknown[0]}: 0 for no part."
        )
    table = np.zeros(int(found[-1]) + 1, np.uint8)
    table[found] = [mapping[int(label)] for label in found]
    values = np.zeros((*labels.shape, 3), np.uint8)
    values[..., 0] = table[labels]
    return MapValues(values)


def _png(data: bytes, path: Path) -> np.ndarray:
    """Return the labels in a PNG: its grey values, or the indices of its palette."""
    if data.startswith(b"\xff\xd8"):
        raise ImageError(f"{path} is a JPEG, whose compression changes labels. Save the mask as a PNG.")
    with guarded(ImageError, path, "does not decode as a PNG", "Copy it again."):
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        check_size(*image.size)
        values = np.asarray(image)
    if values.ndim == 3 and (values[..., :1] == values[..., :3]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype == np.bool_:
        raise ImageError(
            f"{path} is a picture in colours or in black and white, expected a number of a part at each pixel: grey, "
            "or indices of a palette. Save the parser's labels, not its picture."
        )
    return values.astype(np.int64)


def _array(data: bytes, path: Path) -> np.ndarray:
    """Return the labels in an array (H, W), (1, H, W) or (H, W, 1)."""
    with guarded(ImageError, path, "is not a NumPy file of labels", "Save it again with numpy.save."):
        values = _only(arrays_of(data)) if path.suffix.lower() == ".npz" else array_of(data)
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
            values = values.reshape([n for n in values.shape if n != 1] if values.size > 1 else (1, 1))
    if values.dtype.kind not in "uif" or (values.dtype.kind == "f" and not (values == np.rint(values)).all()):
        raise ImageError(
            f"{path} is an array {values.dtype} {values.shape}, expected the number of a part at each pixel: whole "
            "numbers (H, W)."
        )
    return values.astype(np.int64)


def _only(arrays: dict[str, np.ndarray]) -> np.ndarray:
    if len(arrays) != 1:
        raise ValueError(f"it has the arrays {', '.join(arrays)}, expected one")
    return next(iter(arrays.values()))
