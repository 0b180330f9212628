"""The maps of a piece as plain arrays: each compressed on its own, so that one is read without the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard

from dsa_data.stores.iuv import STATUS, IuvMap

LEVEL = 1  # pieces live for minutes: speed counts


def pack(maps: Sequence[IuvMap], reasons: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a piece.

    Args:
        maps: the maps of the piece's images.
        reasons: for each, why its image was skipped, or nothing.
    """
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    frames = [compressor.compress(np.ascontiguousarray(one.iuv).tobytes()) for one in maps]
    return {
        "frames": np.frombuffer(b"".join(frames), np.uint8),
        "ends": np.cumsum([len(frame) for frame in frames]),
        "shape": np.array([one.iuv.shape[:2] for one in maps], np.int64),
        "score": np.array([one.score for one in maps], np.float64),
        "box": np.array([one.box for one in maps], np.float32),
        "status": np.array([STATUS.index(one.status) for one in maps], np.uint8),
        "digest": np.array([one.digest for one in maps]),
        "unit": np.array([one.batch_digest for one in maps]),
        "reason": np.array(reasons, dtype=str),
    }


class Packed:
    """The maps of a piece, in the order in which they were packed.

    Attributes:
        batch_digests: for each, the SHA-256 of what decided it; the array in the file is called "unit".
        reasons: for each, why its image was skipped, or nothing.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self.batch_digests: list[str] = arrays["unit"].tolist()
        self.reasons: list[str] = arrays["reason"].tolist()

    def read(self, place: int) -> IuvMap:
        """Return the map at a place."""
        arrays = self._arrays
        start = arrays["ends"][place - 1] if place else 0
        height, width = arrays["shape"][place]
        frame = arrays["frames"][start : arrays["ends"][place]].tobytes()
        pixels = zstandard.ZstdDecompressor().decompress(frame, max_output_size=int(height * width * 3))
        return IuvMap(
            np.frombuffer(pixels, np.uint8).reshape(height, width, 3),
            float(arrays["score"][place]),
            arrays["box"][place],
            STATUS[arrays["status"][place]],
            str(arrays["digest"][place]),
            self.batch_digests[place],
        )
