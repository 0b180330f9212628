"""PNG: every chunk's checksum and the number of pixels are verified, then Pillow's codec decodes the pixels alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from .limits import DecodeError, check_size
from .tiff import orientation_in

MODES = {  # bits and kind of colour -> Pillow's mode, its name of the stored form, channels
    **{(bits, 0): ("L", f"L;{bits}", 1) for bits in (2, 4)},
    (1, 0): ("1", "1", 1),
    (8, 0): ("L", "L", 1),
    (16, 0): ("I;16", "I;16B", 1),
    (8, 2): ("RGB", "RGB", 3),
    (16, 2): ("RGB", "RGB;16B", 3),
    **{(bits, 3): ("P", f"P;{bits}", 1) for bits in (1, 2, 4)},
    (8, 3): ("P", "P", 1),
    (8, 4): ("LA", "LA", 2),
    (16, 4): ("RGBA", "LA;16B", 2),
    (8, 6): ("RGBA", "RGBA", 4),
    (16, 6): ("RGBA", "RGBA;16B", 4),
}
KNOWN = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # chunks that begin with a capital must be understood
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIECE = 2**20  # bytes inflated at once when they are counted


def read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the image of a PNG file, uint8 (H, W, 3), and its EXIF orientation. Raises DecodeError."""
    chunks = _chunks(data)
    width, height, bits, kind, *methods, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    check_size(width, height)
    if (bits, kind) not in MODES or any(methods) or interlaced > 1:
        raise DecodeError("it is damaged (its header states a form that does not exist)")
    mode, form, channels = MODES[bits, kind]
    pixels = chunks.get(b"IDAT", b"")
    _check_whole(pixels, _inflated(width, height, bits * channels, bool(interlaced)))
    try:
        image = Image.frombytes(mode, (width, height), pixels, "zip", form, interlaced)
    except ValueError:
        raise DecodeError("it is damaged") from None
    return _colours(image, chunks.get(b"PLTE", b"")), orientation_in(chunks.get(b"eXIf", b""))


def bits(data: bytes) -> int:
    """Return how many bits each colour of a PNG file has."""
    return data[24] if len(data) > 24 else 8


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the content of each kind of chunk, those of one kind put together.

    Raises DecodeError unless each has its checksum, the first is the header and the last the end.
    """
    content: dict[bytes, list[bytes]] = {}
    start = 8
    while start + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DecodeError("it is damaged (a checksum is wrong)")
        if (not content and (name, length) != (b"IHDR", 13)) or (name[:1].isupper() and name not in KNOWN):
            raise DecodeError("it is damaged (a chunk is not known)")
        if content and name == b"IHDR":
            raise DecodeError("it is damaged (it has two headers)")
        if name == b"IEND":
            return {kind: b"".join(pieces) for kind, pieces in content.items()}
        content.setdefault(name, []).append(data[start + 8 : end - 4])
        start = end
    raise DecodeError("it is truncated")


def _inflated(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Return how many bytes the pixels take inflated: rows of whole bytes, with one before each for its filter."""
    total = 0
    for x, y, step_x, step_y in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _check_whole(pixels: bytes, expected: int) -> None:
    """Raise DecodeError unless `pixels` inflate to `expected` bytes: Pillow leaves rows that are missing black."""
    stream, found, rest = zlib.decompressobj(), 0, pixels
    try:
        while rest and not stream.eof and found <= expected:
            found += len(stream.decompress(rest, PIECE))
            rest = stream.unconsumed_tail
    except zlib.error:
        raise DecodeError("it is damaged") from None
    if found != expected or not stream.eof:
        raise DecodeError("it is truncated or damaged (its pixels do not fill its size)")


def _colours(image: Image.Image, palette: bytes) -> np.ndarray:
    if image.mode == "P":
        table = np.zeros((256, 3), np.uint8)
        colours = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3)[:256]
        table[: len(colours)] = colours
        return np.take(table, np.asarray(image), axis=0)  # (H, W) -> (H, W, 3)
    if image.mode == "I;16":
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)  # (H, W) -> (H, W, 3)
    return np.asarray(image.convert("RGB"))
