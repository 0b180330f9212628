"""The schema of the DSAP store (`dsap.h5`): the 24 part images of each image, in one chunk an image."""

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
    """The DSAP of one image as it is stored: compressed, with the digests of what it was made from.

    Args:
        texels, valid: zstd frames of uint8 (24, S, S, 3) and of its packed bits.
        checksum: CRC-32 of both before compression.
        count: valid texels of each chart, int (24,).
        digest: SHA-256 of the image file.
        map: SHA-256 of its I, U, V map.
    """

    texels: bytes
    valid: bytes
    checksum: int
    count: np.ndarray
    digest: str
    map: str


def pack(texels: np.ndarray, valid: np.ndarray, digest: str, map_digest: str) -> Chunk:
    """Return texels uint8 (24, S, S, 3) and valid bool (24, S, S), compressed as they are stored."""
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
    """The DSAP tensors of a dataset, by index, one or several at a time."""

    form = DSAP
    remedy = "Build it again: dsap build --overwrite."
    missing = "Build it first: dsap build."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            count, S = len(self), int(self.file["texels"].shape[2])
            self.size = S
            self._check_dataset("texels", "u1", (count, CHARTS, S, S, 3), chunks=(1, CHARTS, S, S, 3))
            self._check_dataset("valid", "u1", (count, CHARTS * S * S // 8), chunks=(1, CHARTS * S * S // 8))
            self.checksums = self._column("checksum", "u4", (count,))
            self.counts = self._column("count", "i4", (count, CHARTS))
            self.digests = to_hex(self._column("digest", "u1", (count, 32)))
            self.maps = to_hex(self._column("map", "u1", (count, 32)))

    def chunk(self, index: int) -> Chunk:
        """Return the chunk of the image at `index` as it is stored, without a check."""
        with self._guard():
            _, texels = self._dataset("texels").id.read_direct_chunk((index, 0, 0, 0, 0))
            _, valid = self._dataset("valid").id.read_direct_chunk((index, 0))
        return Chunk(
            bytes(texels),
            bytes(valid),
            int(self.checksums[index]),
            self.counts[index],
            self.digests[index],
            self.maps[index],
        )

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (24, S, S, 3) and valid bool (24, S, S) of the image at `index`.

        Raises StoreError if they are damaged.
        """
        chunk, S = self.chunk(index), self.size
        with self._guard():
            texels = _decompressed(chunk.texels, CHARTS * S * S * 3)
            bits = _decompressed(chunk.valid, CHARTS * S * S // 8)
        if zlib.crc32(bits, zlib.crc32(texels)) != chunk.checksum:
            raise StoreError(f"{self.path}: the texels of {self.keys[index]} are damaged. {self.remedy}")
        valid = np.unpackbits(np.frombuffer(bits, np.uint8)).view(bool)
        return np.frombuffer(texels, np.uint8).reshape(CHARTS, S, S, 3), valid.reshape(CHARTS, S, S)

    def read_many(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (B, 24, S, S, 3) and valid bool (B, 24, S, S) of the images at `indices`."""
        S = self.size
        texels = np.empty((len(indices), CHARTS, S, S, 3), np.uint8)
        valid = np.empty((len(indices), CHARTS, S, S), bool)
        for row, index in enumerate(indices):
            texels[row], valid[row] = self.read(index)
        return texels, valid


def _decompressed(frame: bytes, length: int) -> bytes:
    """Return the content of a zstd frame, which must say that it is so long: its memory is claimed by what it says."""
    if zstandard.frame_content_size(frame) != length:
        raise ValueError("a chunk is of another size")
    return zstandard.ZstdDecompressor().decompress(frame, max_output_size=length)


def write_dsap(path: Path, header: Header, size: int, keys: Sequence[str], chunks: Iterable[Chunk]) -> Path:
    """Write a DSAP store from compressed chunks.

    Args:
        size: S.
        keys: N keys, in the order of `chunks`.
        chunks: N chunks; one at a time is in memory.
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
        for index, chunk in enumerate(chunks):
            texels.id.write_direct_chunk((index, 0, 0, 0, 0), chunk.texels)
            valid.id.write_direct_chunk((index, 0), chunk.valid)
            columns["checksum"][index], columns["count"][index] = chunk.checksum, chunk.count
            columns["digest"][index], columns["map"][index] = from_hex(chunk.digest), from_hex(chunk.map)
            written += 1
        assert written == count, "a chunk for every key"
        for name, column in columns.items():
            file[name] = column
    return path
