"""The schema of DSAP tensors kept in HDF5 (`dsap.h5`): 24 part images an image, one image a chunk."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import hdf5plugin
import numpy as np
import zstandard

from dsa_app.errors import StoreError

from ..charts import CHARTS
from .header import COMPRESSION, Header, Store, creating, from_hex, to_hex

DSAP = "dsa-reid dsap"


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One picture's DSAP as it lies in a store: compressed, with what tells whether it is still true.

    Args:
        texels, valid: zstd frames of uint8 (24, S, S, 3) and of its packed bits.
        checksum: CRC-32 of both, not compressed.
        count: valid texels by chart, int (24,).
        digest: SHA-256 of the picture's bytes.
        map: SHA-256 of its I, U, V map.
    """

    texels: bytes
    valid: bytes
    checksum: int
    count: np.ndarray
    digest: str
    map: str


def pack(texels: np.ndarray, valid: np.ndarray, digest: str, map_digest: str) -> Chunk:
    """Compress texels uint8 (24, S, S, 3) and valid bool (24, S, S) into a chunk ready to be stored."""
    raw, bits = np.ascontiguousarray(texels).data, np.packbits(valid).data
    compressor = zstandard.ZstdCompressor(level=COMPRESSION, write_checksum=True)
    return Chunk(
        compressor.compress(raw),
        compressor.compress(bits),
        zlib.crc32(bits, zlib.crc32(raw)),
        valid.sum(axis=(1, 2), dtype=np.int32),
        digest,
        map_digest,
    )


class DsapStore(Store):
    """The DSAP tensors of a dataset, by place or key, one or many at a time."""

    form = DSAP
    remedy = "Build it again: dsap build --overwrite."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.size = int(self.file["texels"].shape[2])  # S
            self.checksums = self.file["checksum"][:]
            self.counts = self.file["count"][:]  # (N, 24)
            self.digests = to_hex(self.file["digest"][:])
            self.maps = to_hex(self.file["map"][:])

    def chunk(self, place: int) -> Chunk:
        """Return the stored chunk of the picture at `place`, as it is."""
        with self._guard():
            _, texels = self._dataset("texels").id.read_direct_chunk((place, 0, 0, 0, 0))
            _, valid = self._dataset("valid").id.read_direct_chunk((place, 0))
        return Chunk(
            bytes(texels),
            bytes(valid),
            int(self.checksums[place]),
            self.counts[place],
            self.digests[place],
            self.maps[place],
        )

    def read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (24, S, S, 3) and valid bool (24, S, S) of one picture.

        Raises StoreError if they are not what was stored.
        """
        chunk, S = self.chunk(place), self.size
        with self._guard():
            decompressor = zstandard.ZstdDecompressor()
            texels = decompressor.decompress(chunk.texels, max_output_size=CHARTS * S * S * 3)
            bits = decompressor.decompress(chunk.valid, max_output_size=CHARTS * S * S // 8)
        if zlib.crc32(bits, zlib.crc32(texels)) != chunk.checksum:
            raise StoreError(f"{self.path}: the texels of {self.keys[place]} are damaged. {self.remedy}")
        valid = np.unpackbits(np.frombuffer(bits, np.uint8)).view(bool)
        return np.frombuffer(texels, np.uint8).reshape(CHARTS, S, S, 3), valid.reshape(CHARTS, S, S)

    def read_many(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (B, 24, S, S, 3) and valid bool (B, 24, S, S) of several pictures."""
        S = self.size
        texels = np.empty((len(places), CHARTS, S, S, 3), np.uint8)
        valid = np.empty((len(places), CHARTS, S, S), bool)
        for row, place in enumerate(places):
            texels[row], valid[row] = self.read(place)
        return texels, valid


def write_dsap(path: Path, header: Header, size: int, keys: Sequence[str], chunks: Iterable[Chunk]) -> Path:
    """Write a DSAP store in one go from ready chunks.

    Args:
        size: S.
        keys: N keys, in the order of `chunks`.
        chunks: N chunks, taken one at a time.
    """
    count = len(keys)
    columns: dict[str, np.ndarray] = {
        "checksum": np.zeros(count, np.uint32),
        "count": np.zeros((count, CHARTS), np.int32),
        "digest": np.zeros((count, 32), np.uint8),
        "map": np.zeros((count, 32), np.uint8),
    }
    shape, bits = (CHARTS, size, size, 3), CHARTS * size * size // 8
    compression = hdf5plugin.Zstd(clevel=COMPRESSION)
    with creating(path, DSAP, header, keys) as file:
        texels = file.create_dataset("texels", (count, *shape), np.uint8, chunks=(1, *shape), **compression)
        valid = file.create_dataset("valid", (count, bits), np.uint8, chunks=(1, bits), **compression)
        written = 0
        for place, chunk in enumerate(chunks):
            texels.id.write_direct_chunk((place, 0, 0, 0, 0), chunk.texels)
            valid.id.write_direct_chunk((place, 0), chunk.valid)
            columns["checksum"][place], columns["count"][place] = chunk.checksum, chunk.count
            columns["digest"][place], columns["map"][place] = from_hex(chunk.digest), from_hex(chunk.map)
            written += 1
        assert written == count, "a chunk for every key"
        for name, column in columns.items():
            file[name] = column
    return path
