"""The schema of the store of fused surfaces (`*_surfaces.h5`): the colours of each person over all images."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsa_app.errors import StoreError

from ..charts import CHARTS
from .dsap import LARGEST
from .header import Header, Store, creating

SURFACES = "dsa-reid surfaces"


@dataclass(frozen=True)
class Surface:
    """The fused surface of a person.

    Attributes:
        mean: uint8 (24, S, S, 3), RGB; 0 where no image shows the texel.
        spread: uint8 (24, S, S), the root mean square difference of the images' colours from `mean`.
        count: uint16 (24, S, S), the images that show the texel.
    """

    mean: np.ndarray
    spread: np.ndarray
    count: np.ndarray

    @property
    def checksum(self) -> int:
        """CRC-32 of all three."""
        checksum = 0
        for values in (self.mean, self.spread, self.count.astype("<u2")):
            checksum = zlib.crc32(values.tobytes(), checksum)
        return checksum


class SurfaceStore(Store):
    """Surfaces by index. A key names a person, as "0001", a track, "0001/c2", or a part of many images, "0001/2".

    Attributes:
        size: S.
    """

    form = SURFACES
    remedy = "Make it again: dsap fuse --overwrite."
    missing = "Make it first: dsap fuse."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.size = int(self.file.attrs["size"])
            if not 1 <= self.size <= LARGEST:
                raise ValueError(f"its size is {self.size}")
            shape = (len(self), CHARTS, self.size, self.size)
            self._check_dataset("mean", "u1", (*shape, 3))
            self._check_dataset("spread", "u1", shape)
            self._check_dataset("count", "u2", shape)
            self._checksums = self._column("checksum", "u4", (len(self),))

    def read(self, index: int) -> Surface:
        """Return the surface at `index`. Raises StoreError if it is damaged."""
        with self._guard():
            surface = Surface(*(self._dataset(name)[index] for name in ("mean", "spread", "count")))
        if surface.checksum != self._checksums[index]:
            raise StoreError(f"{self.path}: the surface of {self.keys[index]} is damaged. {self.remedy}")
        return surface


def write_surfaces(path: Path, header: Header, keys: Sequence[str], size: int, surfaces: Iterable[Surface]) -> Path:
    """Write a store of surfaces, one for every key; one at a time is in memory."""
    shape = (len(keys), CHARTS, size, size)
    checksums = np.zeros(len(keys), np.uint32)
    with creating(path, SURFACES, header, keys) as file:
        file.attrs["size"] = size
        mean = file.create_dataset("mean", (*shape, 3), np.uint8)
        spread = file.create_dataset("spread", shape, np.uint8)
        count = file.create_dataset("count", shape, "<u2")
        written = 0
        for index, surface in enumerate(surfaces):
            mean[index], spread[index], count[index] = surface.mean, surface.spread, surface.count
            checksums[index] = surface.checksum
            written += 1
        assert written == len(keys), "a surface for every key"
        file["checksum"] = checksums
    return path
