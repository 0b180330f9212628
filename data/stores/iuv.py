"""The schema of the I, U, V store (`iuv.h5`): maps of different sizes, stored end to end."""

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
STATUS = ("none", "found", "fallback")  # whether stage one detected a person; the store holds the index
CHUNK = 16_384  # pixels of the maps in an HDF5 chunk


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
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: str
    digest: str
    batch_digest: str


def quantise(chart: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a map's values uint8 (..., 3), I, round(255 u), round(255 v), from charts uint8 and u, v in [0, 1].

    The values of docs/design/contracts.md.
    """
    return np.stack([chart, np.rint(255 * u).astype(np.uint8), np.rint(255 * v).astype(np.uint8)], axis=-1)


def map_checksum(iuv: np.ndarray) -> str:
    """Return the SHA-256 of a map's size and bytes, in hexadecimal."""
    return hashlib.sha256(f"{iuv.shape}".encode() + iuv.tobytes()).hexdigest()


class IuvStore(Store):
    """The I, U, V maps of a dataset, by index."""

    form = IUV
    remedy = "Make it again: densepose-extract run --overwrite."

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
            self.statuses = [STATUS[code] for code in self._column("status", "u1", (count,)).tolist()]
            self._offset = self._column("offset", "i8", (count + 1,))
            sizes = np.prod(self.shapes, axis=1, dtype=np.int64)
            if self._offset[0] or (self.shapes < 1).any() or (np.diff(self._offset) != sizes).any():
                raise ValueError("its offsets do not follow from its shapes")
            pixels = int(self._offset[-1])
            self._check_dataset("iuv", "u1", (pixels, 3), chunks=(min(CHUNK, pixels), 3))

    def read(self, index: int) -> IuvMap:
        """Return the map of the image at `index`. Raises StoreError if it is damaged."""
        with self._guard():
            pixels = self._dataset("iuv")[self._offset[index] : self._offset[index + 1]]
            iuv = pixels.reshape(*self.shapes[index], 3)
        if map_checksum(iuv) != self.checksums[index]:
            raise StoreError(f"{self.path}: the map of {self.keys[index]} is damaged. {self.remedy}")
        return IuvMap(
            iuv,
            float(self.scores[index]),
            self.boxes[index],
            self.statuses[index],
            self.digests[index],
            self.batch_digests[index],
        )


def write_iuv(path: Path, header: Header, keys: Sequence[str], shapes: np.ndarray, maps: Iterable[IuvMap]) -> Path:
    """Write an I, U, V store.

    Args:
        keys: N keys, in the order of `maps`.
        shapes: (N, 2), H and W of each map.
        maps: N maps; one at a time is in memory.
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
            chunks=(min(CHUNK, int(offset[-1])), 3),
            **hdf5plugin.Zstd(clevel=COMPRESSION),
        )
        written = 0
        for index, iuv_map in enumerate(maps):
            assert iuv_map.iuv.shape == (*shapes[index], 3), f"{keys[index]}: the map has another size than in `shapes`"
            pixels[offset[index] : offset[index + 1]] = iuv_map.iuv.reshape(-1, 3)
            columns["score"][index], columns["box"][index] = iuv_map.score, iuv_map.box
            columns["status"][index] = STATUS.index(iuv_map.status)
            columns["digest"][index] = from_hex(iuv_map.digest)
            columns["unit"][index] = from_hex(iuv_map.batch_digest)
            columns["checksum"][index] = from_hex(map_checksum(iuv_map.iuv))
            written += 1
        assert written == count, "a map for every key"
        for name, column in columns.items():
            file[name] = column
    return path
