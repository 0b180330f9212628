"""WebP, lossy or lossless; of an animation the first frame."""

from __future__ import annotations

import numpy as np
from PIL import _webp  # Pillow's own WebP class lets a user's Image.MAX_IMAGE_PIXELS decide

from .limits import DecodeError, check_length, check_size
from .tiff import orientation_in


def read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the image of a WebP file, uint8 (H, W, 3), and its EXIF orientation. Raises DecodeError."""
    chunks = _chunks(data)
    width, height = _size(chunks)
    check_size(width, height)  # before the decoder is made: it allocates two canvases
    decoder = _webp.WebPAnimDecoder(data)
    frame = decoder.get_next() if decoder is not None else None
    if frame is None or len(frame[0]) % (width * height):
        raise DecodeError("it is damaged")
    pixels = np.frombuffer(frame[0], np.uint8).reshape(height, width, -1)
    return pixels[..., :3], orientation_in(chunks.get(b"EXIF", b""))


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the content of the first chunk of each name, in their order."""
    end = 8 + int.from_bytes(data[4:8], "little")
    check_length(len(data), end)
    chunks: dict[bytes, bytes] = {}
    start = 12
    while start + 8 <= end:
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        check_length(end, start + 8 + length)
        chunks.setdefault(data[start : start + 4], data[start + 8 : start + 8 + length])
        start += 8 + length + length % 2
    return chunks


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Return width and height that the first chunk states."""
    name, content = next(iter(chunks.items()), (b"", b""))
    if len(content) >= 10 and name == b"VP8X":
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if len(content) >= 10 and name == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(content[6:8], "little") & 0x3FFF, int.from_bytes(content[8:10], "little") & 0x3FFF
    if len(content) >= 5 and name == b"VP8L" and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise DecodeError("it is damaged (it states no size)")
