"""The schema of the I, U, V store (`iuv.h5`): maps of different sizes, stored end to end.

Version 1 has 8 bits a coordinate. Version 2 has 16 bits too, in the dataset `fine`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from dsa_app.errors import StoreError
from dsa_reid.decoding.limits import pixel_limit

from .header import COMPRESSION, Header, Store, creating, decompressed, from_hex, to_hex

IUV = "dsa-reid iuv"
STATUS = ("none", "found", "fallback")  # whether stage one detected a person; the store holds the index
CHUNK = 16_384  # pixels of the maps in an HDF5 chunk
VERSIONS = {8: 1, 16: 2}  # of the format, by the bits of a coordinate


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
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: str
    digest: str
    batch_digest: str
    fine: np.ndarray | None = None


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


def map_checksum(iuv: np.ndarray, fine: np.ndarray | None = None) -> str:
    """Return the SHA-256 of a map's size and bytes, in hexadecimal."""
    digest = hashlib.sha256(f"{iuv.shape}".encode() + iuv.tobytes())
    if fine is not None:
        digest.update(fine.astype("<u2").tobytes())
    return digest.hexdigest()


class IuvStore(Store):
    """The I, U, V maps of a dataset, by index.

    Attributes:
        bits: of a coordinate, 8 or 16.
    """

    form = IUV
    remedy = "Make it again: densepose-extract run --overwrite."
    missing = "Make the maps first: densepose-extract run."
    versions = tuple(VERSIONS.values())

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
            self._check_dataset("iuv", "u1", (pixels, 3), chunks=(self._chunk_size, 3))
            self.bits = 16 if self.version == VERSIONS[16] else 8
            if self.bits == 16:
                self._check_dataset("fine", "u2", (pixels, 2), chunks=(self._chunk_size, 2))
        self._last: dict[str, tuple[int, np.ndarray]] = {}  # of each dataset the chunk read last, and its number

    def read(self, index: int) -> IuvMap:
        """Return the map of the image at `index`. Raises StoreError if it is damaged."""
        with self._guard():
            place = int(self._offset[index]), int(self._offset[index + 1])
            iuv = self._rows("iuv", *place, np.dtype(np.uint8)).reshape(*self.shapes[index], 3)
            fine = None
            if self.bits == 16:
                fine = self._rows("fine", *place, np.dtype("<u2")).reshape(*self.shapes[index], 2)
        if map_checksum(iuv, fine) != self.checksums[index]:
            raise StoreError(f"{self.path}: the map of {self.keys[index]} is damaged. {self.remedy}")
        return IuvMap(
            iuv,
            float(self.scores[index]),
            self.boxes[index],
            self.statuses[index],
            self.digests[index],
            self.batch_digests[index],
            fine,
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
    path: Path, header: Header, keys: Sequence[str], shapes: np.ndarray, maps: Iterable[IuvMap], bits: int = 8
) -> Path:
    """Write an I, U, V store.

    Args:
        keys: N keys, in the order of `maps`.
        shapes: (N, 2), H and W of each map.
        maps: N maps; one at a time is in memory.
        bits: of a coordinate; with 16 every map has `fine`, or no body.
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
    with creating(path, IUV, header, keys, VERSIONS[bits]) as file:
        file["offset"], file["shape"] = offset, np.asarray(shapes, np.int32)
        pixels = _pixels(file, "iuv", int(offset[-1]), 3, np.dtype(np.uint8))
        fine_pixels = _pixels(file, "fine", int(offset[-1]), 2, np.dtype("<u2")) if bits == 16 else None
        written = 0
        for index, iuv_map in enumerate(maps):
            assert iuv_map.iuv.shape == (*shapes[index], 3), f"{keys[index]}: the map has another size than in `shapes`"
            pixels[offset[index] : offset[index + 1]] = iuv_map.iuv.reshape(-1, 3)
            fine = None
            if fine_pixels is not None:
                fine = iuv_map.fine
                if fine is None:
                    assert not iuv_map.iuv.any(), f"{keys[index]}: a map with a person has no 16 bits"
                    fine = np.zeros((*shapes[index], 2), np.uint16)
                fine_pixels[offset[index] : offset[index + 1]] = fine.reshape(-1, 2)
            columns["score"][index], columns["box"][index] = iuv_map.score, iuv_map.box
            columns["status"][index] = STATUS.index(iuv_map.status)
            columns["digest"][index] = from_hex(iuv_map.digest)
            columns["unit"][index] = from_hex(iuv_map.batch_digest)
            columns["checksum"][index] = from_hex(map_checksum(iuv_map.iuv, fine))
            written += 1
        assert written == count, "a map for every key"
        for name, column in columns.items():
            file[name] = column
    return path


def _pixels(file: h5py.File, name: str, pixels: int, channels: int, dtype: np.dtype) -> h5py.Dataset:
    """Return a new, compressed dataset (pixels, channels) of the maps end to end."""
    return file.create_dataset(
        name,
        (pixels, channels),
        dtype,
        chunks=(min(CHUNK, pixels), channels),
        **hdf5plugin.Zstd(clevel=COMPRESSION),
    )
