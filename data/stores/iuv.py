"""The schema of I, U, V maps kept in HDF5 (`iuv.h5`): maps of different sizes, stored end to end."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import hdf5plugin
import numpy as np

from dsa_app.errors import StoreError

from .header import COMPRESSION, Header, Store, creating, from_hex, to_hex

IUV = "dsa-reid iuv"
STATUS = ("none", "found", "fallback")  # how stage one made a map, by its code in the store
MAP_ROWS = 16_384  # pixels in a chunk of I, U, V maps


@dataclasses.dataclass(frozen=True)
class IuvMap:
    """The I, U, V map of one picture and how it came about.

    Args:
        iuv: uint8 (H, W, 3): chart 0..24, round(255 u), round(255 v).
        score: the detector's, 0 to 1; NaN where there is none.
        box: float32 (4,), x0, y0, x1, y1 in pixels; NaN where there is none.
        status: "found", "fallback" or "none".
        digest: SHA-256 of the picture's bytes, hexadecimal.
        unit: SHA-256 of all that decided the map: the picture and those that were computed in one batch with it.
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: str
    digest: str
    unit: str


def quantise(chart: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a map's values uint8 (..., 3), I, round(255 u), round(255 v), from charts uint8 and u, v in [0, 1].

    The values of docs/design/contracts.md.
    """
    return np.stack([chart, np.rint(255 * u).astype(np.uint8), np.rint(255 * v).astype(np.uint8)], axis=-1)


def map_checksum(iuv: np.ndarray) -> str:
    """Return the SHA-256 over a map's size and bytes, in hexadecimal."""
    return hashlib.sha256(f"{iuv.shape}".encode() + iuv.tobytes()).hexdigest()


class IuvStore(Store):
    """The I, U, V maps of a dataset, by place or key."""

    form = IUV
    remedy = "Make it again: densepose-extract run --overwrite."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.shapes = self.file["shape"][:]  # (N, 2): H, W
            self.digests = to_hex(self.file["digest"][:])
            self.units = to_hex(self.file["unit"][:])
            self.checksums = to_hex(self.file["checksum"][:])
            self.scores = self.file["score"][:]
            self.boxes = self.file["box"][:]
            self.statuses = [STATUS[code] for code in self.file["status"][:]]
            self._offset = self.file["offset"][:]

    def read(self, place: int) -> IuvMap:
        """Return the map of the picture at `place`. Raises StoreError if it is not what was stored."""
        with self._guard():
            pixels = self._dataset("iuv")[self._offset[place] : self._offset[place + 1]]
            iuv = pixels.reshape(*self.shapes[place], 3)
        if map_checksum(iuv) != self.checksums[place]:
            raise StoreError(f"{self.path}: the map of {self.keys[place]} is damaged. {self.remedy}")
        return IuvMap(
            iuv,
            float(self.scores[place]),
            self.boxes[place],
            self.statuses[place],
            self.digests[place],
            self.units[place],
        )


def write_iuv(path: Path, header: Header, keys: Sequence[str], shapes: np.ndarray, maps: Iterable[IuvMap]) -> Path:
    """Write an IUV store in one go.

    Args:
        keys: N keys, in the order of `maps`.
        shapes: (N, 2), each map's H and W.
        maps: N maps, taken one at a time.
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
    with creating(path, IUV, header, keys) as file:
        file["offset"], file["shape"] = offset, np.asarray(shapes, np.int32)
        pixels = file.create_dataset(
            "iuv",
            (int(offset[-1]), 3),
            np.uint8,
            chunks=(min(MAP_ROWS, int(offset[-1])), 3),
            **hdf5plugin.Zstd(clevel=COMPRESSION),
        )
        written = 0
        for place, one in enumerate(maps):
            assert one.iuv.shape == (*shapes[place], 3), f"{keys[place]}: a map of another size than announced"
            pixels[offset[place] : offset[place + 1]] = one.iuv.reshape(-1, 3)
            columns["score"][place], columns["box"][place] = one.score, one.box
            columns["status"][place] = STATUS.index(one.status)
            columns["digest"][place] = from_hex(one.digest)
            columns["unit"][place] = from_hex(one.unit)
            columns["checksum"][place] = from_hex(map_checksum(one.iuv))
            written += 1
        assert written == count, "a map for every key"
        for name, column in columns.items():
            file[name] = column
    return path
