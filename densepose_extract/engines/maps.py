"""I, U, V maps that exist already, one file each: nothing is computed, only read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.records import Record
from dsa_data.stores.iuv import widen

from .engine import Extracted, identity_of_content
from .map_files import MapValues, PackedValues, decode_map, map_name

Order = Literal["rgb", "bgr"]  # of the channels of an IUV image read as RGB: I, U, V, or V, U, I


@dataclass(frozen=True)
class MapFile:
    """The file that holds an image's map.

    Attributes:
        path: of the IUV image; None if the image has no map, which counts as no person detected.
        digest: of all that decides the map, besides the image itself.
        order: of the file's channels.
        score: of a map that shows a person; NaN if unknown.
        bits: of a coordinate in the store, 8 or 16; 0 for maps of I alone, whose U and V are cleared.
        kept: the content of the file, if it was decoded before; None to read the file.
        image_confidence: of a map that shows a person, see `Extracted`; NaN if unknown.
        box: of the person, where it is known; None for that around the body's pixels.
        mapping: charts of the labels, for a part mask; None for other maps.
    """

    path: Path | None
    digest: str
    order: Order = "rgb"
    score: float = np.nan
    bits: int = 8
    kept: PackedValues | None = None
    image_confidence: float = np.nan
    box: tuple[float, ...] | None = None
    mapping: Mapping[int, int] | None = None

    def read(self, record: Record) -> Extracted:
        """Return the map of `record`, with U and V set to 0 where I is 0.

        Raises ImageError if the file is missing or damaged, of another size than the image, or not an IUV image.
        """
        decoded = None if self.path is None else self.pixels(self.path, record)
        if decoded is None or not decoded.values[..., 0].any():
            return Extracted.no_person(record.height, record.width)
        iuv, fine = decoded.values, None
        if self.bits == 16:
            fine = widen(iuv) if decoded.fine is None else decoded.fine
        if not self.bits:
            iuv = iuv * np.array([1, 0, 0], np.uint8)
        sure = decoded.confidence, self.image_confidence
        box = body_box(iuv) if self.box is None else np.array(self.box, np.float32)
        return Extracted(iuv, self.score, box, "found", fine, *sure, has_uv=self.bits > 0)

    def pixels(self, path: Path, record: Record) -> MapValues:
        """Return the map in the file at `path`, its values as I, U, V. Raises ImageError as `read` does."""
        decoded = self.kept.unpacked() if self.kept else decode(images.read_bytes(path), path, self.mapping)
        iuv = decoded.values[..., :: 1 if self.order == "rgb" else -1]
        height, width = iuv.shape[:2]
        if (height, width) != (record.height, record.width):
            raise ImageError(
                f"{path} is {width}x{height}, but its image {record.key} is {record.width}x{record.height}. "
                "Make the map again from this image."
            )
        chart = iuv[..., :1]
        if chart.max() > CHARTS:
            raise ImageError(
                f"{path} has chart {chart.max()}, expected 0 to {CHARTS}. Check that it is an IUV image, and the order "
                f"of its channels, {self.order}: densepose-extract import --channels."
            )
        return MapValues(np.asarray(iuv * (chart > 0)), decoded.fine, decoded.confidence)


@runtime_checkable
class Maps(Protocol):
    """An engine that finds the map of a record in a file instead of computing it from pixels."""

    name: str

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the files that decides the maps' bytes, as plain values."""

    def find(self, record: Record) -> MapFile:
        """Return the file of a record's map. Raises ImageError if it cannot be read."""


class FoundMaps:
    """The maps of an import, by the keys of their images.

    Attributes:
        bits: of a coordinate in the store, 8 or 16; 0 for maps of I alone.
        missing: how many images have no map.
        unused: maps that fit no image, by their names.
    """

    name = "import"

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.missing = 0
        self.unused: list[str] = []
        self._files: dict[str, MapFile] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name and what its maps hold: all else is part of the digest of a map."""
        return {"engine": self.name, **identity_of_content(self.bits)}

    def find(self, record: Record) -> MapFile:
        """Return the map of a record; an empty one if it has none."""
        return self._files.get(record.key, MapFile(None, "missing"))

    def refuse_missing(
        self, missing: Sequence[str], images: int, allowed: bool, source: Path, expected: str = ""
    ) -> None:
        """Count the images without a map. Raises ImageError if there are any and they are not allowed."""
        self.missing = len(missing)
        if missing and not allowed:
            others = f"; there are {len(self.unused)} others, first {self.unused[0]}" if self.unused else ""
            raise ImageError(
                f"{source} has no map for {len(missing)} of {images} images, first {missing[0]}: expected "
                f"{expected or map_name(missing[0])}{others}. Add the maps, or use --allow-missing to count these "
                "images as no person detected."
            )


def decode(data: bytes, path: Path, mapping: Mapping[int, int] | None) -> MapValues:
    """Return the values of a map's file, or with a `mapping` of a part mask's. Raises ImageError."""
    if mapping is None:
        return decode_map(data, path)
    from .part_masks import decode_parts

    return decode_parts(data, path, mapping)


def body_box(iuv: np.ndarray) -> np.ndarray:
    """Return the box around all body pixels of a map (H, W, 3): float32 (4,), x0, y0, x1, y1 in pixels."""
    rows = np.flatnonzero(iuv[..., 0].any(axis=1))
    columns = np.flatnonzero(iuv[..., 0].any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
