"""The maps of a piece as arrays that np.savez writes: each map is compressed on its own and read without the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard

from dsa_data.stores.iuv import STATUS, IuvMap

from .engines.map_files import divided

LEVEL = 1  # of zstd: pieces are kept for minutes, so that speed counts


def pack(maps: Sequence[IuvMap], reasons: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a piece.

    Args:
        maps: of the piece's images.
        reasons: for each image, why it was skipped; empty if it was not.
    """
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    frames = [compressor.compress(_bytes(iuv_map)) for iuv_map in maps]
    return {
        "frames": np.frombuffer(b"".join(frames), np.uint8),
        "ends": np.cumsum([len(frame) for frame in frames]),
        "shape": np.array([iuv_map.iuv.shape[:2] for iuv_map in maps], np.int64),
        "score": np.array([iuv_map.score for iuv_map in maps], np.float64),
        "box": np.array([iuv_map.box for iuv_map in maps], np.float32),
        "status": np.array([STATUS.index(iuv_map.status) for iuv_map in maps], np.uint8),
        "digest": np.array([iuv_map.digest for iuv_map in maps]),
        "unit": np.array([iuv_map.batch_digest for iuv_map in maps]),
        "reason": np.array(reasons, dtype=str),
        "image_confidence": np.array([iuv_map.image_confidence for iuv_map in maps], np.float64),
        "has_uv": np.array([iuv_map.has_uv for iuv_map in maps], bool),
    }


def _bytes(iuv_map: IuvMap) -> bytes:
    """Return the bytes of a map: those of its 8 bits, then those of its 16 and of its confidence, if it has any."""
    fine = b"" if iuv_map.fine is None else iuv_map.fine.astype("<u2").tobytes()
    confidence = b"" if iuv_map.confidence is None else iuv_map.confidence.tobytes()
    return np.ascontiguousarray(iuv_map.iuv).tobytes() + fine + confidence


class Packed:
    """The maps of a piece, in the order in which they were packed.

    Attributes:
        batch_digests: for each map, the SHA-256 of all that decided it. The array in the file is called "unit".
        reasons: for each image, why it was skipped; empty if it was not.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        count = len(arrays["unit"])
        # A piece of an unfinished run of an earlier version has neither.
        self._arrays = {"image_confidence": np.full(count, np.nan), "has_uv": np.ones(count, bool)} | arrays
        self.batch_digests: list[str] = arrays["unit"].tolist()
        self.reasons: list[str] = arrays["reason"].tolist()

    def read(self, index: int) -> IuvMap:
        """Return the map at `index`."""
        arrays = self._arrays
        start = arrays["ends"][index - 1] if index else 0
        height, width = arrays["shape"][index]
        frame = arrays["frames"][start : arrays["ends"][index]].tobytes()
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=int(height * width) * (3 + 4 + 1))
        iuv, fine, confidence = divided(content, int(height), int(width))
        return IuvMap(
            iuv,
            float(arrays["score"][index]),
            arrays["box"][index],
            STATUS[arrays["status"][index]],
            str(arrays["digest"][index]),
            self.batch_digests[index],
            fine,
            confidence,
            float(arrays["image_confidence"][index]),
            bool(arrays["has_uv"][index]),
        )
