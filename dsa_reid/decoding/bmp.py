"""BMP without compression: rows of 1, 4, 8, 16, 24 or 32 bits a pixel."""

from __future__ import annotations

import struct

import numpy as np

from .limits import DecodeError, check_length, check_size

OLD_HEADER = 12  # bytes; of OS/2, with a palette of three bytes a colour
HEADERS = (40, 52, 56, 64, 108, 124)
UNCOMPRESSED, BIT_FIELDS = 0, 3
FIELDS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}  # of red, green, blue, unless the file states others


def read(data: bytes) -> np.ndarray:
    """Return the image of a BMP file, uint8 (H, W, 3). Raises DecodeError."""
    check_length(len(data), 18)
    start, header = struct.unpack_from("<II", data, 10)
    if header != OLD_HEADER and header not in HEADERS:
        raise DecodeError(f"it is damaged (it states a header of {header} bytes)")
    check_length(len(data), 14 + header)
    compression = colours = 0
    if header == OLD_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        (colours,) = struct.unpack_from("<I", data, 46)
    check_size(width, abs(height))
    if compression not in (UNCOMPRESSED, BIT_FIELDS) or bits not in (1, 4, 8, 16, 24, 32):
        raise DecodeError(
            f"it is a BMP of {bits} bits with compression {compression}, which is not read: save it as PNG"
        )
    stride = (width * bits + 31) // 32 * 4  # bytes of a row
    check_length(len(data) - start, stride * abs(height))
    rows = np.frombuffer(data, np.uint8, stride * abs(height), start).reshape(abs(height), stride)
    if height > 0:
        rows = rows[::-1]  # the lowest row comes first
    if bits <= 8:
        table = _palette(data, header, colours or 2**bits)
        return np.take(table, _indices(rows, width, bits), axis=0)  # (H, W) -> (H, W, 3)
    if bits == 24:
        return rows[:, : 3 * width].reshape(abs(height), width, 3)[..., ::-1]
    fields = struct.unpack_from("<III", data, 54) if compression == BIT_FIELDS and len(data) >= 66 else FIELDS[bits]
    return _by_fields(rows, bits, width, fields)


def _indices(rows: np.ndarray, width: int, bits: int) -> np.ndarray:
    """Return the palette's index of every pixel, uint8 (H, W)."""
    if bits == 8:
        return rows[:, :width]
    if bits == 1:
        return np.unpackbits(rows, axis=1, count=width)
    return np.stack([rows >> 4, rows & 15], axis=2).reshape(len(rows), -1)[:, :width]  # (H, n) -> (H, 2n)


def _palette(data: bytes, header: int, colours: int) -> np.ndarray:
    """Return the palette, uint8 (256, 3); colours that it lacks are black."""
    width = 3 if header == OLD_HEADER else 4
    stored = data[14 + header : 14 + header + width * min(colours, 256)]
    whole = np.frombuffer(stored, np.uint8, len(stored) // width * width).reshape(-1, width)
    table = np.zeros((256, 3), np.uint8)
    table[: len(whole)] = whole[:, 2::-1]
    return table


def _by_fields(rows: np.ndarray, bits: int, width: int, fields: tuple[int, ...]) -> np.ndarray:
    """Return pixels of 16 or 32 bits, each with three bit fields for red, green and blue, as uint8 (H, W, 3)."""
    words = np.ascontiguousarray(rows).view(f"<u{bits // 8}")[:, :width]
    planes = []
    for field in fields:
        shift = (field & -field).bit_length() - 1 if field else 0
        most = field >> shift
        if not 0 < most < 256 or most & (most + 1):
            raise DecodeError(f"it is a BMP with the bit field {field:#x}, which is not read: save it as PNG")
        planes.append((((words & field) >> shift).astype(np.uint16) * 255 // most).astype(np.uint8))
    return np.stack(planes, axis=2)  # (H, W) x 3 -> (H, W, 3)
