"""The files in which others keep I, U, V maps: their names, and the forms of their content.

Names: `a_IUV.png`, in any case, with or without the image's own ending (`a.jpg_IUV.png`); `.npy` and `.npz` in place of
`.png`; and in a folder without any such name `a.png`, `a.npy` or `a.npz`. Arrays are (H, W, 3) or (3, H, W): 0 to 255
as in a PNG, or I with u and v in [0, 1], which lose nothing in a store of 16 bits.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard

from dsa_app.errors import ImageError
from dsa_app.guard import guarded
from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.npy import array_of
from dsa_data.stores.iuv import quantise, refine
from dsa_data.walk import MAP_NAME

from .numpy_file import arrays_of

SUFFIX = "_IUV.png"  # of the names that this project writes
ARRAYS = {".npy", ".npz"}
ENDINGS = {".png", *ARRAYS}
FEW = 4  # body pixels, below which U and V may all be 0 or 1 by chance
LEVEL = 1  # of zstd, for maps that are kept in memory


@dataclass(frozen=True)
class MapValues:
    """The content of a map's file.

    Attributes:
        values: uint8 (H, W, 3), channels in the order of the file (RGB of a PNG).
        fine: uint16 (H, W, 2), U and V in 16 bits of a file with fractions, whose channels are I, U, V; None of others.
        confidence: uint8 (H, W), see `Extracted`; None for a file without any.
    """

    values: np.ndarray
    fine: np.ndarray | None = None
    confidence: np.ndarray | None = None

    def packed(self, bits: int) -> PackedValues:
        """Return the values compressed, `fine` only if `bits` is 16."""
        content = np.ascontiguousarray(self.values).tobytes()
        if self.fine is not None and bits == 16:
            content += self.fine.tobytes()
        if self.confidence is not None:
            content += self.confidence.tobytes()
        return PackedValues(zstandard.ZstdCompressor(level=LEVEL).compress(content), *self.values.shape[:2])


@dataclass(frozen=True)
class PackedValues:
    """The content of a map's file, compressed, so that a folder of maps fits in memory after it was decoded once.

    Attributes:
        frame: of zstd.
        height, width: of the map.
    """

    frame: bytes
    height: int
    width: int

    def unpacked(self) -> MapValues:
        """Return the values again."""
        size = self.height * self.width
        content = zstandard.ZstdDecompressor().decompress(self.frame, max_output_size=size * (3 + 4 + 1))
        return MapValues(*divided(content, self.height, self.width))


def divided(content: bytes, height: int, width: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the arrays whose bytes follow each other: values (H, W, 3), and if there are any `fine` and `confidence`.

    Their lengths say which there are: 3 bytes a pixel, then 4 for `fine`, then 1 for `confidence`.
    """
    size = height * width
    values, rest = np.frombuffer(content[: 3 * size], np.uint8), content[3 * size :]
    fine = confidence = None
    if len(rest) >= 4 * size:
        fine, rest = np.frombuffer(rest[: 4 * size], "<u2").reshape(height, width, 2), rest[4 * size :]
    if rest:
        confidence = np.frombuffer(rest, np.uint8).reshape(height, width)
    return values.reshape(height, width, 3), fine, confidence


def map_name(key: str) -> str:
    """Return the path of an image's map, named as DensePose users do: a/b.jpg has a/b_IUV.png."""
    return f"{Path(key).with_suffix('')}{SUFFIX}"


def stem_of(name: str) -> str | None:
    """Return what the name of a map says of its image, NFC: "a" of a_IUV.png, "a.jpg" of a.jpg_IUV.png; else None.

    None too for a map of an ending that is not read, as a_IUV.jpg: JPEG changes charts.
    """
    match = MAP_NAME.fullmatch(name)
    if not match or f".{match['ending'].lower()}" not in ENDINGS:
        return None
    return unicodedata.normalize("NFC", match["stem"])


def stems_for(key: str) -> tuple[str, str]:
    """Return the stems that the map of an image may have."""
    path = Path(unicodedata.normalize("NFC", key))
    return path.stem, path.name


def decode_map(data: bytes, path: Path) -> MapValues:
    """Return the values of a map's file.

    Raises:
        ImageError: for a file that does not decode, or whose content is no I, U, V map in any channel order: of another
            type or shape, one channel only, or U and V of 0 and 1 only.
    """
    decoded = _array(data, path) if path.suffix.lower() in ARRAYS else _png(data, path)
    _check_values(decoded.values, path)
    return decoded


def _png(data: bytes, path: Path) -> MapValues:
    if data.startswith(b"\xff\xd8"):
        raise ImageError(f"{path} is a JPEG, whose compression changes charts. Make the map again as a PNG.")
    images.check_eight_bits(data, path)
    return MapValues(images.decode(data, path))  # of one channel, that channel three times, which is refused


def _array(data: bytes, path: Path) -> MapValues:
    with guarded(ImageError, path, "is not a NumPy file of numbers", "Save it again with numpy.save."):
        values = _of_archive(arrays_of(data), path) if path.suffix.lower() == ".npz" else array_of(data)
    if values.ndim == 3 and values.shape[2] != 3 and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype.kind not in "uif" or values.size == 0:
        raise ImageError(
            f"{path} is an array {values.dtype} {values.shape}, expected numbers (H, W, 3) or (3, H, W): I, U, V."
        )
    if values.dtype == np.uint8:
        return MapValues(np.ascontiguousarray(values))
    whole = bool((values == np.rint(values)).all())  # false for NaN
    chart, u, v = np.moveaxis(values, 2, 0)
    fractions = u.max() <= 1 and v.max() <= 1
    if whole and values.min() >= 0 and values.max() <= 255 and not fractions:
        return MapValues(values.astype(np.uint8))
    if not (fractions and values.min() >= 0 and chart.max() <= CHARTS and (chart == np.rint(chart)).all()):
        raise ImageError(
            f"{path} has values from {values.min()} to {values.max()}, expected I from 0 to {CHARTS} first, then u and "
            "v in [0, 1], or whole numbers from 0 to 255."
        )
    if whole:
        plain = values.astype(np.uint8)
        _check_values(plain, path)  # u and v of 0 and 1 only, of whatever type
        if values.dtype.kind in "ui":
            return MapValues(plain)
    return MapValues(quantise(chart.astype(np.uint8), u, v), refine(chart, u, v))


def _of_archive(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """Return the map in an .npz: its only array, `iuv`, `I`, `U` and `V`, or Detectron2's `labels` and `uv`."""
    named = {name.lower(): array for name, array in arrays.items()}
    if len(named) == 1 or "iuv" in named:
        return named.get("iuv", next(iter(named.values())))
    if {"i", "u", "v"} <= named.keys():
        return np.stack([named["i"], named["u"], named["v"]], axis=-1)
    if {"labels", "uv"} <= named.keys():
        return np.stack([named["labels"], *named["uv"]], axis=-1)
    raise ImageError(f"{path} has the arrays {', '.join(arrays)}: expected one, or I, U and V.")


def _check_values(values: np.ndarray, path: Path) -> None:
    """Raise ImageError for values that no channel order makes a map; `values` uint8 (H, W, 3)."""
    first, middle, last = np.moveaxis(values, 2, 0)
    body = int(((first > 0) | (last > 0)).sum())
    if body >= FEW and (first == middle).all() and (first == last).all():
        raise ImageError(
            f"{path} has three equal channels, so that it is no I, U, V map but one channel of it, or a grey image. "
            "Save I, U and V."
        )
    if body >= FEW and middle.max() <= 1 and min(first.max(), last.max()) <= 1:
        raise ImageError(
            f"{path} has U and V of 0 and 1 only: they were cut to whole numbers. Save round(255 u) and round(255 v), "
            "or the fractions as .npy."
        )
