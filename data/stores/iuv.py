"""The schema of the I, U, V store (`iuv.h5`): maps of different sizes, stored end to end.

Version 1 has 8 bits a coordinate. Version 2 has 16 bits too, in the dataset `fine`. Version 3 is written only for what
the others cannot hold: how sure the maps are (`confidence`), and maps of I alone, without u and v.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import h5py
import hdf5plugin
import numpy as np

from dsa_app.errors import StoreError
from dsa_reid.decoding.limits import pixel_limit

from .header import COMPRESSION, Header, Store, creating, decompressed, from_hex, to_hex

IUV = "dsa-reid iuv"
STATUS = ("none", "found", "fallback")  # whether stage one detected a person; the store holds the index
CHUNK = 16_384  # pixels of the maps in an HDF5 chunk
VERSIONS = {8: 1, 16: 2}  # of the format, by the bits of a coordinate, for maps with u and v and without a confidence
VERSION = 3  # of all other stores
Confidence = Literal["none", "images", "pixels"]
"""What a store says of how sure its maps are: nothing, one number an image, or a byte a pixel and a number an image."""


@dataclasses.dataclass(frozen=True)
class IuvMap:
    """The I, U, V map of one image and how it was made.

    Args:
        iuv: uint8 (H, W, 3): chart 0..24, round(255 u), round(255 v).
        score: of the person detection, 0 to 1; NaN if there is none.
        box: of the detection, float32 (4,), x0, y0, x1, y1 in pixels; NaN if there is none.
        status: "found" if a person was detected, "fallback" if the whole image was taken as the box, else "none".
        digest: SHA-256 of the image file, hexadecimal.
        batch_digest: SHA-256 of all that decides the map: this image and those that were computed in one batch with
            it. The dataset in the file is called "unit".
        fine: uint16 (H, W, 2): floor(65536 u), floor(65536 v), see `refine`; None in 8 bits.
        confidence: uint8 (H, W), round(255 p), p being the probability that the map is right at the pixel, background
            included; None if it is not known.
        image_confidence: the same for the map as a whole, 0 to 1; NaN if it is not known.
        has_uv: False for a map of I alone, whose U and V are 0 everywhere and say nothing.
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: str
    digest: str
    batch_digest: str
    fine: np.ndarray | None = None
    confidence: np.ndarray | None = None
    image_confidence: float = math.nan
    has_uv: bool = True


def quantise(chart: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a map's values uint8 (..., 3), I, round(255 u), round(255 v), from charts uint8 and u, v in [0, 1].

    The values of docs/design/contracts.md.
    """
    return np.stack([chart, np.rint(255 * u).astype(np.uint8), np.rint(255 * v).astype(np.uint8)], axis=-1)


def refine(chart: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return u and v in 16 bits, uint16 (..., 2): floor(65536 u), floor(65536 v), at most 65535; 0 where I is 0.

    The floor, and not the nearest value: the texel floor(u S) follows from it exactly for every S that is a power of 2.

    Args:
        chart: (...), I.
        u, v: floats (...) in [0, 1].
    """
    steps = np.minimum(np.floor(np.stack([u, v], axis=-1) * 65536), 65535).astype(np.uint16)
    return np.asarray(steps * (chart > 0)[..., None])


def widen(iuv: np.ndarray) -> np.ndarray:
    """Return the bytes U and V of a map uint8 (..., 3) in 16 bits, uint16 (..., 2), with the same texels at every S."""
    coordinates = iuv[..., 1:].astype(np.uint16)
    # 65536 U / 255 = 257 U + U / 255, rounded; 255 stays within 16 bits.
    return np.minimum(coordinates * 257, 65534) + (coordinates > 127) * np.uint16(1)


def map_checksum(
    iuv: np.ndarray,
    fine: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    image_confidence: float | None = None,
) -> str:
    """Return the SHA-256 of a map's size and bytes, and of its confidences, in hexadecimal.

    Args:
        iuv: uint8 (H, W, 3), or (H, W, 1) for I alone.
        fine, confidence: see `IuvMap`; None where the store has none.
        image_confidence: the same; float32.
    """
    digest = hashlib.sha256(f"{iuv.shape}".encode() + iuv.tobytes())
    if fine is not None:
        digest.update(fine.astype("<u2").tobytes())
    if confidence is not None:
        digest.update(b"confidence" + confidence.tobytes())
    if image_confidence is not None:
        digest.update(b"image confidence" + np.array(image_confidence, "<f4").tobytes())
    return digest.hexdigest()


def mean_confidence(iuv: np.ndarray, confidence: np.ndarray) -> float:
    """Return the mean confidence over the body's pixels, 0 to 1; 0 for a map without a body.

    Args:
        iuv: uint8 (H, W, 3).
        confidence: uint8 (H, W).
    """
    body = confidence[iuv[..., 0] > 0]
    return float(body.sum(dtype=np.int64) / (255 * body.size)) if body.size else 0.0


class IuvStore(Store):
    """The I, U, V maps of a dataset, by index.

    Attributes:
        bits: of a coordinate, 8 or 16; 0 for maps of I alone.
        confidence: what the store says of how sure its maps are.
        image_confidences: float32 (N,), see `IuvMap`; NaN where it is not known.
    """

    form = IUV
    remedy = "Make it again: densepose-extract run --overwrite."
    missing = "Make the maps first: densepose-extract run."
    versions = (*VERSIONS.values(), VERSION)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            count = len(self)
            self.shapes = self._column("shape", "i4", (count, 2))  # H, W
            self.digests = to_hex(self._column("digest", "u1", (count, 32)))
            self.batch_digests = to_hex(self._column("unit", "u1", (count, 32)))
            self.checksums = to_hex(self._column("checksum", "u1", (count, 32)))
            self.scores = self._column("score", "f4", (count,))
            self.boxes = self._column("box", "f4", (count, 4))
            codes = self._column("status", "u1", (count,))
            if codes.max(initial=0) >= len(STATUS):
                raise ValueError(f"a status is {codes.max()}, expected 0 to {len(STATUS) - 1}")
            self.statuses = [STATUS[code] for code in codes.tolist()]
            self._offset = self._column("offset", "i8", (count + 1,))
            sizes = np.prod(self.shapes, axis=1, dtype=np.int64)
            if self._offset[0] or (self.shapes < 1).any() or (np.diff(self._offset) != sizes).any():
                raise ValueError("its offsets do not follow from its shapes")
            if sizes.max(initial=0) > (limit := pixel_limit()):
                raise ValueError(f"a map has {sizes.max()} pixels, more than the limit of {limit}")
            pixels = int(self._offset[-1])
            self._chunk_size = min(CHUNK, pixels)
            self.bits, self.confidence = self._content()
            channels = 3 if self.has_uv else 1
            self._check_dataset("iuv", "u1", (pixels, channels), chunks=(self._chunk_size, channels))
            if self.bits == 16:
                self._check_dataset("fine", "u2", (pixels, 2), chunks=(self._chunk_size, 2))
            if self.confidence == "pixels":
                self._check_dataset("confidence", "u1", (pixels, 1), chunks=(self._chunk_size, 1))
            self.image_confidences = np.full(count, np.nan, np.float32)
            if self.confidence != "none":
                self.image_confidences = self._column("image_confidence", "f4", (count,))
                known = self.image_confidences[~np.isnan(self.image_confidences)]
                if ((known < 0) | (known > 1)).any():
                    raise ValueError("a confidence is not between 0 and 1")
        self._last: dict[str, tuple[int, np.ndarray]] = {}  # of each dataset the chunk read last, and its number

    @property
    def has_uv(self) -> bool:
        """Whether the maps have u and v; False for maps of I alone."""
        return self.bits > 0

    def _content(self) -> tuple[int, Confidence]:
        """Return the bits of a coordinate, and what there is of confidences."""
        for bits, version in VERSIONS.items():
            if self.version == version:
                return bits, "none"
        bits, confidence = int(self.file.attrs["bits"]), self.file.attrs["confidence"]
        if bits not in (0, *VERSIONS) or confidence not in get_args(Confidence):
            raise ValueError(f"it states {bits} bits and the confidence {str(confidence)[:20]}")
        return bits, confidence

    def read(self, index: int) -> IuvMap:
        """Return the map of the image at `index`. Raises StoreError if it is damaged."""
        fine = confidence = None
        image_confidence = float(self.image_confidences[index])
        with self._guard():
            place = int(self._offset[index]), int(self._offset[index + 1])
            height, width = self.shapes[index]
            iuv = self._rows("iuv", *place, np.dtype(np.uint8)).reshape(height, width, 3 if self.has_uv else 1)
            if self.bits == 16:
                fine = self._rows("fine", *place, np.dtype("<u2")).reshape(height, width, 2)
            if self.confidence == "pixels":
                confidence = self._rows("confidence", *place, np.dtype(np.uint8)).reshape(height, width)
        stated = None if self.confidence == "none" else image_confidence
        if map_checksum(iuv, fine, confidence, stated) != self.checksums[index]:
            raise StoreError(f"{self.path}: the map of {self.keys[index]} is damaged. {self.remedy}")
        if not self.has_uv:
            iuv = np.pad(iuv, ((0, 0), (0, 0), (0, 2)))  # U = V = 0
        return IuvMap(
            iuv,
            float(self.scores[index]),
            self.boxes[index],
            self.statuses[index],
            self.digests[index],
            self.batch_digests[index],
            fine,
            confidence,
            image_confidence,
            self.has_uv,
        )

    def _rows(self, name: str, start: int, end: int, dtype: np.dtype) -> np.ndarray:
        """Return rows (n, channels) of all maps, one behind the other."""
        size = self._chunk_size
        numbers = range(start // size, (end - 1) // size + 1)
        chunks = (self._chunk(name, n, dtype)[max(0, start - n * size) : end - n * size] for n in numbers)
        return np.concatenate(list(chunks))

    def _chunk(self, name: str, number: int, dtype: np.dtype) -> np.ndarray:
        """Return a chunk (`_chunk_size`, channels); HDF5's filter would claim whatever memory its bytes state."""
        last, rows = self._last.get(name, (-1, None))
        if rows is None or last != number:
            dataset = self._dataset(name)
            _, frame = dataset.id.read_direct_chunk((number * self._chunk_size, 0))
            shape = (self._chunk_size, dataset.shape[1])
            rows = np.frombuffer(decompressed(bytes(frame), shape[0] * shape[1] * dtype.itemsize), dtype).reshape(shape)
            self._last[name] = (number, rows)
        return rows


def write_iuv(
    path: Path,
    header: Header,
    keys: Sequence[str],
    shapes: np.ndarray,
    maps: Iterable[IuvMap],
    bits: int = 8,
    confidence: Confidence = "none",
) -> Path:
    """Write an I, U, V store.

    Args:
        keys: N keys, in the order of `maps`.
        shapes: (N, 2), H and W of each map.
        maps: N maps; one at a time is in memory.
        bits: of a coordinate; with 16 every map has `fine`, or no body. 0 for maps of I alone.
        confidence: what is written of how sure the maps are. With "pixels" every map has `confidence`, or no body, and
            then 0 everywhere; where its `image_confidence` is not known, it is the mean over the body.
    """
    offset = np.concatenate([[0], np.cumsum(np.prod(shapes, axis=1, dtype=np.int64))])
    count = len(keys)
    columns: dict[str, np.ndarray] = {
        "score": np.zeros(count, np.float32),
        "box": np.zeros((count, 4), np.float32),
        "status": np.zeros(count, np.uint8),
        "digest": np.zeros((count, 32), np.uint8),
        "unit": np.zeros((count, 32), np.uint8),
        "checksum": np.zeros((count, 32), np.uint8),
    }
    plain = bits > 0 and confidence == "none"
    if confidence != "none":
        columns["image_confidence"] = np.full(count, np.nan, np.float32)
    with creating(path, IUV, header, keys, VERSIONS[bits] if plain else VERSION) as file:
        if not plain:
            file.attrs["bits"], file.attrs["confidence"] = bits, confidence
        file["offset"], file["shape"] = offset, np.asarray(shapes, np.int32)
        pixels = _pixels(file, "iuv", int(offset[-1]), 3 if bits else 1, np.dtype(np.uint8))
        fine_pixels = _pixels(file, "fine", int(offset[-1]), 2, np.dtype("<u2")) if bits == 16 else None
        sure_pixels = None
        if confidence == "pixels":
            sure_pixels = _pixels(file, "confidence", int(offset[-1]), 1, np.dtype(np.uint8))
        written = 0
        for index, iuv_map in enumerate(maps):
            assert iuv_map.iuv.shape == (*shapes[index], 3), f"{keys[index]}: the map has another size than in `shapes`"
            rows = slice(offset[index], offset[index + 1])
            iuv = iuv_map.iuv
            if not bits:
                assert not iuv[..., 1:].any(), f"{keys[index]}: a map of I alone has U or V"
                iuv = np.ascontiguousarray(iuv[..., :1])
            pixels[rows] = iuv.reshape(-1, iuv.shape[2])
            fine = sure = stated = None
            if fine_pixels is not None:
                fine = _or_empty(iuv_map, iuv_map.fine, (2,), np.dtype(np.uint16), f"{keys[index]}: 16 bits")
                fine_pixels[rows] = fine.reshape(-1, 2)
            if sure_pixels is not None:
                sure = _or_empty(iuv_map, iuv_map.confidence, (), np.dtype(np.uint8), f"{keys[index]}: confidence")
                sure_pixels[rows] = sure.reshape(-1, 1)
            if confidence != "none":
                stated = iuv_map.image_confidence
                if math.isnan(stated) and sure is not None:
                    stated = mean_confidence(iuv, sure)
                columns["image_confidence"][index] = stated
            columns["score"][index], columns["box"][index] = iuv_map.score, iuv_map.box
            columns["status"][index] = STATUS.index(iuv_map.status)
            columns["digest"][index] = from_hex(iuv_map.digest)
            columns["unit"][index] = from_hex(iuv_map.batch_digest)
            columns["checksum"][index] = from_hex(map_checksum(iuv, fine, sure, stated))
            written += 1
        assert written == count, "a map for every key"
        for name, column in columns.items():
            file[name] = column
    return path


def _or_empty(
    iuv_map: IuvMap, values: np.ndarray | None, channels: tuple[int, ...], dtype: np.dtype, name: str
) -> np.ndarray:
    """Return what a map has beside I, U, V: values (H, W, *channels), 0 for a map without a body that has none."""
    shape = (*iuv_map.iuv.shape[:2], *channels)
    if values is None:
        assert not iuv_map.iuv.any(), f"{name} is missing in a map with a person"
        return np.zeros(shape, dtype)
    assert values.shape == shape, f"{name} is of shape {values.shape}"
    assert values.dtype == dtype, f"{name} is {values.dtype}"
    return values


def _pixels(file: h5py.File, name: str, pixels: int, channels: int, dtype: np.dtype) -> h5py.Dataset:
    """Return a new, compressed dataset (pixels, channels) of the maps end to end."""
    return file.create_dataset(
        name,
        (pixels, channels),
        dtype,
        chunks=(min(CHUNK, pixels), channels),
        **hdf5plugin.Zstd(clevel=COMPRESSION),
    )
