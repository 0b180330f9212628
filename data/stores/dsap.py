"""The schema of the DSAP store (`dsap.h5`): the 24 part images of each image, and its chart image.

A chart image is the first channel of the image's I, U, V map, at the map's own size: 0 for the background, 1 to 24 for
the chart, `NO_MAP` everywhere if no person was detected. Version 1 of the format had none. Version 3 has the confidence
of every texel and of every pixel of the chart images; it is written only for maps that have one.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import hdf5plugin
import numpy as np
import zstandard

from dsa_app.errors import StoreError
from dsa_reid.decoding.limits import pixel_limit

from ..charts import CHARTS, NO_MAP
from .header import COMPRESSION, Header, Store, creating, decompressed, from_hex, to_hex

DSAP = "dsa-reid dsap"
VERSIONS = (1, 2, 3)  # 1 had no chart images, 3 has confidences
LARGEST = 256  # of S, as in the settings


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The DSAP of one image as it is stored: compressed, with the digests of what it was made from.

    Args:
        texels, valid: zstd frames of uint8 (24, S, S, 3) and of its packed bits.
        checksum: CRC-32 of both before compression.
        count: valid texels of each chart, int (24,).
        digest: SHA-256 of the image file.
        map: SHA-256 of its I, U, V map.
        charts: zstd frame of the chart image, uint8 (H, W).
        chart_shape: H and W.
        chart_checksum: CRC-32 of the chart image before compression.
        sure: the confidences; None for maps without any.
    """

    texels: bytes
    valid: bytes
    checksum: int
    count: np.ndarray
    digest: str
    map: str
    charts: bytes
    chart_shape: tuple[int, int]
    chart_checksum: int
    sure: SureChunk | None = None


@dataclasses.dataclass(frozen=True)
class SureChunk:
    """The confidences of one image as they are stored.

    Args:
        texels: zstd frame of uint8 (24, S, S), see `dsa_data.stores.iuv.IuvMap`; 0 where a texel is not valid.
        checksum: CRC-32 before compression.
        charts: zstd frame of uint8 (H, W), of the pixels of the chart image.
        chart_checksum: CRC-32 before compression.
    """

    texels: bytes
    checksum: int
    charts: bytes
    chart_checksum: int


def pack(
    texels: np.ndarray,
    valid: np.ndarray,
    charts: np.ndarray,
    digest: str,
    map_digest: str,
    confidence: np.ndarray | None = None,
    chart_confidence: np.ndarray | None = None,
) -> Chunk:
    """Return part images and chart image, compressed as they are stored.

    Args:
        texels: uint8 (24, S, S, 3).
        valid: bool (24, S, S).
        charts: uint8 (H, W), as `chart_image` returns it.
        confidence: uint8 (24, S, S), of the texels; None for a store without confidences.
        chart_confidence: uint8 (H, W), of the pixels of `charts`; None together with `confidence`.
    """
    raw, bits, pixels = np.ascontiguousarray(texels).data, np.packbits(valid).data, np.ascontiguousarray(charts).data
    compressor = zstandard.ZstdCompressor(level=COMPRESSION, write_checksum=True)
    sure = None
    if confidence is not None and chart_confidence is not None:
        of_texels, of_charts = np.ascontiguousarray(confidence).data, np.ascontiguousarray(chart_confidence).data
        sure = SureChunk(
            compressor.compress(of_texels),
            zlib.crc32(of_texels),
            compressor.compress(of_charts),
            zlib.crc32(of_charts),
        )
    return Chunk(
        compressor.compress(raw),
        compressor.compress(bits),
        zlib.crc32(bits, zlib.crc32(raw)),
        valid.sum(axis=(1, 2), dtype=np.int32),
        digest,
        map_digest,
        compressor.compress(pixels),
        (charts.shape[0], charts.shape[1]),
        zlib.crc32(pixels),
        sure,
    )


def chart_image(iuv: np.ndarray) -> np.ndarray:
    """Return the charts uint8 (H, W) of a map uint8 (H, W, 3); all are `NO_MAP` for a map without a body."""
    charts = iuv[..., 0]
    return charts.copy() if charts.any() else np.full_like(charts, NO_MAP)


class DsapStore(Store):
    """The DSAP tensors of a dataset, by index, one or several at a time.

    Attributes:
        has_charts: whether it has chart images; a store of version 1 has none.
        chart_checksums: uint32 (N,), of the chart images; empty if there are none.
        has_confidence: whether it has confidences; only a store of version 3 has.
        confidence_checksums: uint32 (N,), of those of the texels; empty if there are none.
        chart_confidence_checksums: the same of those of the chart images.
    """

    form = DSAP
    versions = VERSIONS
    remedy = "Build it again: dsap build --overwrite."
    missing = "Build it first: dsap build."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            count, S = len(self), int(self.file["texels"].shape[2])
            if not 0 < S <= LARGEST:
                raise ValueError(f"its part images have the size {S}")
            self.size = S
            self._check_dataset("texels", "u1", (count, CHARTS, S, S, 3), chunks=(1, CHARTS, S, S, 3))
            self._check_dataset("valid", "u1", (count, CHARTS * S * S // 8), chunks=(1, CHARTS * S * S // 8))
            self.checksums = self._column("checksum", "u4", (count,))
            self.counts = self._column("count", "i4", (count, CHARTS))
            self.digests = to_hex(self._column("digest", "u1", (count, 32)))
            self.maps = to_hex(self._column("map", "u1", (count, 32)))
            self.has_charts = self.version > 1
            self.chart_checksums, self.chart_shapes = np.zeros(0, np.uint32), np.zeros((0, 2), np.int32)
            if self.has_charts:
                self.chart_checksums = self._column("chart_checksum", "u4", (count,))
                self.chart_shapes = self._column("chart_shape", "i4", (count, 2))
                self._chart_offset = self._column("chart_offset", "i8", (count + 1,))
                sizes = np.prod(self.chart_shapes, axis=1, dtype=np.int64)
                if (self.chart_shapes < 1).any() or sizes.max(initial=0) > pixel_limit():
                    raise ValueError("a chart image has no pixels, or more than the limit")
                self._check_frames("charts", self._chart_offset)
            self.has_confidence = self.version > 2
            self.confidence_checksums = self.chart_confidence_checksums = np.zeros(0, np.uint32)
            if self.has_confidence:
                self._check_dataset("confidence", "u1", (count, CHARTS, S, S), chunks=(1, CHARTS, S, S))
                self.confidence_checksums = self._column("confidence_checksum", "u4", (count,))
                self.chart_confidence_checksums = self._column("chart_confidence_checksum", "u4", (count,))
                self._sure_offset = self._column("chart_confidence_offset", "i8", (count + 1,))
                self._check_frames("chart_confidence", self._sure_offset)

    def _check_frames(self, name: str, offset: np.ndarray) -> None:
        """Raise ValueError unless `offset` (N+1,) divides a dataset of frames that lie end to end."""
        frames = self._check_dataset(name, "u1", None)
        if (np.diff(offset, prepend=0, append=len(frames)) < 0).any():
            raise ValueError(f"{name} is not divided by its offsets")

    def chunk(self, index: int) -> Chunk:
        """Return the chunk of the image at `index` as it is stored, without a check; the store has chart images."""
        height, width = self.chart_shapes[index].tolist()
        return Chunk(
            *self._part_frames(index),
            int(self.checksums[index]),
            self.counts[index],
            self.digests[index],
            self.maps[index],
            self._chart_frame(index),
            (height, width),
            int(self.chart_checksums[index]),
            self._sure_chunk(index) if self.has_confidence else None,
        )

    def _sure_chunk(self, index: int) -> SureChunk:
        return SureChunk(
            self._confidence_frame(index),
            int(self.confidence_checksums[index]),
            self._frame("chart_confidence", self._sure_offset, index),
            int(self.chart_confidence_checksums[index]),
        )

    def _part_frames(self, index: int) -> tuple[bytes, bytes]:
        with self._guard():
            _, texels = self._dataset("texels").id.read_direct_chunk((index, 0, 0, 0, 0))
            _, valid = self._dataset("valid").id.read_direct_chunk((index, 0))
        return bytes(texels), bytes(valid)

    def _confidence_frame(self, index: int) -> bytes:
        with self._guard():
            _, frame = self._dataset("confidence").id.read_direct_chunk((index, 0, 0, 0))
        return bytes(frame)

    def _chart_frame(self, index: int) -> bytes:
        return self._frame("charts", self._chart_offset, index)

    def _frame(self, name: str, offset: np.ndarray, index: int) -> bytes:
        """Return the frame of one image out of those that lie end to end."""
        with self._guard():
            frame = self._dataset(name)[offset[index] : offset[index + 1]]
        return bytes(frame)

    def read_charts(self, index: int) -> np.ndarray:
        """Return the chart image uint8 (H, W) of the image at `index`.

        Raises StoreError if it is damaged, or if the store is of version 1 and has none.
        """
        if not self.has_charts:
            raise StoreError(f"{self.path} has version {self.version}, which has no chart images. {self.remedy}")
        frame, (height, width) = self._chart_frame(index), self.chart_shapes[index].tolist()
        with self._guard():
            pixels = decompressed(frame, height * width)
        if zlib.crc32(pixels) != self.chart_checksums[index]:
            raise StoreError(f"{self.path}: the charts of {self.keys[index]} are damaged. {self.remedy}")
        return np.frombuffer(pixels, np.uint8).reshape(height, width)

    def read_confidence(self, index: int) -> np.ndarray:
        """Return the confidence of each texel, uint8 (24, S, S), 0 where it is not valid.

        Raises StoreError if it is damaged, or if the store has none.
        """
        self._check_confidence()
        frame, S = self._confidence_frame(index), self.size
        with self._guard():
            values = decompressed(frame, CHARTS * S * S)
        if zlib.crc32(values) != self.confidence_checksums[index]:
            raise StoreError(f"{self.path}: the confidences of {self.keys[index]} are damaged. {self.remedy}")
        return np.frombuffer(values, np.uint8).reshape(CHARTS, S, S)

    def read_confidences(self, indices: Sequence[int]) -> np.ndarray:
        """Return the confidence of each texel of the images at `indices`, uint8 (B, 24, S, S)."""
        return np.stack([self.read_confidence(index) for index in indices])

    def read_chart_confidence(self, index: int) -> np.ndarray:
        """Return the confidence of each pixel of a chart image, uint8 (H, W). Raises as `read_confidence` does."""
        self._check_confidence()
        frame = self._frame("chart_confidence", self._sure_offset, index)
        height, width = self.chart_shapes[index].tolist()
        with self._guard():
            values = decompressed(frame, height * width)
        if zlib.crc32(values) != self.chart_confidence_checksums[index]:
            raise StoreError(f"{self.path}: the confidences of {self.keys[index]} are damaged. {self.remedy}")
        return np.frombuffer(values, np.uint8).reshape(height, width)

    def _check_confidence(self) -> None:
        if not self.has_confidence:
            raise StoreError(
                f"{self.path} has no confidences: its maps have none. Make maps with them: densepose-extract run "
                "--confidence, then dsap build."
            )

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (24, S, S, 3) and valid bool (24, S, S) of the image at `index`.

        Raises StoreError if they are damaged.
        """
        (texel_frame, valid_frame), S = self._part_frames(index), self.size
        with self._guard():
            texels = decompressed(texel_frame, CHARTS * S * S * 3)
            bits = decompressed(valid_frame, CHARTS * S * S // 8)
        if zlib.crc32(bits, zlib.crc32(texels)) != self.checksums[index]:
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


def version_for(confidence: bool) -> int:
    """Return the version of a store with or without confidences."""
    return VERSIONS[-1] if confidence else VERSIONS[-2]


def write_dsap(
    path: Path, header: Header, size: int, keys: Sequence[str], chunks: Iterable[Chunk], confidence: bool = False
) -> Path:
    """Write a DSAP store from compressed chunks.

    Args:
        size: S.
        keys: N keys, in the order of `chunks`.
        chunks: N chunks; one at a time is in memory, and all chart images, which take less than a kilobyte each.
        confidence: whether the chunks have confidences, each of them; the version of the store follows from it.
    """
    count = len(keys)
    columns: dict[str, np.ndarray] = {
        "checksum": np.zeros(count, np.uint32),
        "count": np.zeros((count, CHARTS), np.int32),
        "digest": np.zeros((count, 32), np.uint8),
        "map": np.zeros((count, 32), np.uint8),
        "chart_shape": np.zeros((count, 2), np.int32),
        "chart_offset": np.zeros(count + 1, np.int64),
        "chart_checksum": np.zeros(count, np.uint32),
    }
    if confidence:
        columns["confidence_checksum"] = np.zeros(count, np.uint32)
        columns["chart_confidence_offset"] = np.zeros(count + 1, np.int64)
        columns["chart_confidence_checksum"] = np.zeros(count, np.uint32)
    frames, sure_frames = bytearray(), bytearray()  # of the chart images and of their confidences, end to end
    shape, bits = (CHARTS, size, size, 3), CHARTS * size * size // 8
    compression = hdf5plugin.Zstd(clevel=COMPRESSION)
    with creating(path, DSAP, header, keys, version_for(confidence)) as file:
        texels = file.create_dataset("texels", (count, *shape), np.uint8, chunks=(1, *shape), **compression)
        valid = file.create_dataset("valid", (count, bits), np.uint8, chunks=(1, bits), **compression)
        if confidence:
            sure = file.create_dataset(
                "confidence", (count, *shape[:3]), np.uint8, chunks=(1, *shape[:3]), **compression
            )
        written = 0
        for index, chunk in enumerate(chunks):
            texels.id.write_direct_chunk((index, 0, 0, 0, 0), chunk.texels)
            valid.id.write_direct_chunk((index, 0), chunk.valid)
            columns["checksum"][index], columns["count"][index] = chunk.checksum, chunk.count
            columns["digest"][index], columns["map"][index] = from_hex(chunk.digest), from_hex(chunk.map)
            frames += chunk.charts
            columns["chart_shape"][index], columns["chart_checksum"][index] = chunk.chart_shape, chunk.chart_checksum
            columns["chart_offset"][index + 1] = len(frames)
            if confidence:
                assert chunk.sure is not None, f"{keys[index]}: a chunk without confidences"
                sure.id.write_direct_chunk((index, 0, 0, 0), chunk.sure.texels)
                sure_frames += chunk.sure.charts
                columns["confidence_checksum"][index] = chunk.sure.checksum
                columns["chart_confidence_offset"][index + 1] = len(sure_frames)
                columns["chart_confidence_checksum"][index] = chunk.sure.chart_checksum
            written += 1
        assert written == count, "a chunk for every key"
        file["charts"] = np.frombuffer(bytes(frames), np.uint8)
        if confidence:
            file["chart_confidence"] = np.frombuffer(bytes(sure_frames), np.uint8)
        for name, column in columns.items():
            file[name] = column
    return path
