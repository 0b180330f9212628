"""TIFF 6.0, as far as it is plain: strips of pixels, uncompressed or by PackBits. EXIF blocks are read here too.

What else TIFF may hold (LZW, JPEG, tiles, separate colour planes) would need libtiff, and is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

from .limits import DecodeError, check_length, check_size

Directory = Mapping[int, tuple[int, ...]]

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
TYPES = {1: "B", 3: "H", 4: "I"}  # of numbers in a directory; all others are passed over
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS, PLANAR, COLOURS, FORMAT = 273, 274, 277, 278, 279, 284, 320, 339
UNCOMPRESSED, PACKBITS = 1, 32773
PACKBITS_RATIO = 64  # at most 128 bytes are written as 2
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)


def read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the first image of a TIFF file, uint8 (H, W, 3), and its orientation. Raises DecodeError."""
    order, tags = read_directory(data)
    if not tags:
        raise DecodeError("it is damaged (it has no directory)")
    (width,), (height,) = tags.get(WIDTH, (0,)), tags.get(HEIGHT, (0,))
    check_size(width, height)
    samples, bits = tags.get(SAMPLES, (1,))[0], tags.get(BITS, (1,))
    kind = tags.get(PHOTOMETRIC, (-1,))[0]
    _check_plain(tags, kind, samples, bits)
    depth = bits[0]
    row = (width * samples * depth + 7) // 8  # bytes
    rows = _rows(data, tags, height, row)  # uint8 (height, row)
    if depth == 1:
        values = np.unpackbits(rows, axis=1, count=width)[..., None]  # (height, row) -> (H, W, 1)
    else:
        values = rows.view(f"{order}u{depth // 8}").reshape(height, width, samples)  # (H, W, samples)
    return _colours(values, kind, depth, tags.get(COLOURS, ())), orientation_of(tags)


def orientation_in(block: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block states (CIPA DC-008, 4.6.5); 1 where none can be read."""
    try:
        return orientation_of(read_directory(block.removeprefix(b"Exif\0\0"))[1])
    except DecodeError:
        return 1


def orientation_of(tags: Directory) -> int:
    """Return the orientation, 1 to 8, among the tags of a directory; 1 where it is missing or no such number."""
    value = tags.get(ORIENTATION, (1,))[0]
    return value if 1 <= value <= 8 else 1


def read_directory(data: bytes) -> tuple[str, Directory]:
    """Return the byte order, "<" or ">", and the whole numbers of the first directory by tag.

    A tag of another type, or whose numbers lie outside of `data`, is left out. Raises DecodeError if `data` does not
    begin as TIFF does.
    """
    order = BYTE_ORDERS.get(data[:2])
    if order is None or len(data) < 8:
        raise DecodeError("it is truncated or damaged")
    (start,) = struct.unpack_from(order + "I", data, 4)
    tags: dict[int, tuple[int, ...]] = {}
    if start + 2 > len(data):
        return order, tags
    (entries,) = struct.unpack_from(order + "H", data, start)
    for place in range(start + 2, min(start + 2 + 12 * entries, len(data) - 11), 12):
        tag, type_, count = struct.unpack_from(order + "HHI", data, place)
        code = TYPES.get(type_)
        if code is None or not count:
            continue
        size = count * struct.calcsize(code)
        at = place + 8 if size <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        if at + size <= len(data):
            tags.setdefault(tag, struct.unpack_from(f"{order}{count}{code}", data, at))
    return order, tags


def _check_plain(tags: Directory, kind: int, samples: int, bits: tuple[int, ...]) -> None:
    """Raise DecodeError unless this module can read the image."""
    compression = tags.get(COMPRESSION, (UNCOMPRESSED,))[0]
    deep = bits[0] if len(set(bits)) == 1 else 0
    plain = {
        f"compression {compression}": compression in (UNCOMPRESSED, PACKBITS),
        "tiles": OFFSETS in tags,
        "separate colour planes": tags.get(PLANAR, (1,))[0] == 1,
        "reversed bits": tags.get(FILL_ORDER, (1,))[0] == 1,
        "pixels that are not whole numbers": set(tags.get(FORMAT, (1,))) == {1},
        f"colours of kind {kind}": kind in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE),
        f"{bits[0]} bits a sample": deep == 8 or (deep == 16 and kind != PALETTE) or (deep == 1 and kind < RGB),
        f"{samples} samples a pixel": samples in range(3, 9)
        if kind == RGB
        else samples in (1, 2) and (deep > 1 or samples == 1),
    }
    for name, fine in plain.items():
        if not fine:
            raise DecodeError(f"it is a TIFF with {name}, which is not read: save it as PNG")


def _rows(data: bytes, tags: Directory, height: int, row: int) -> np.ndarray:
    """Return the bytes of all rows, uint8 (height, row)."""
    offsets, counts = tags[OFFSETS], tags.get(COUNTS, ())
    in_strip = min(tags.get(ROWS, (height,))[0], height)
    if in_strip < 1 or len(offsets) != len(counts) or len(offsets) * in_strip < height:
        raise DecodeError("it is damaged (its strips do not make up its height)")
    packed = tags.get(COMPRESSION, (UNCOMPRESSED,))[0] == PACKBITS
    strips = []
    for n, first in enumerate(range(0, height, in_strip)):
        strip = data[offsets[n] : offsets[n] + counts[n]]
        check_length(len(strip), counts[n])
        size = (row, min(in_strip, height - first))
        check_length(len(strip) * (PACKBITS_RATIO if packed else 1), row * size[1])
        if packed:
            strips.append(np.asarray(_unpacked(strip, size)))
        else:
            strips.append(np.frombuffer(strip, np.uint8, row * size[1]).reshape(size[1], row))
    return np.concatenate(strips)


def _unpacked(strip: bytes, size: tuple[int, int]) -> Image.Image:
    try:
        return Image.frombytes("L", size, strip, "packbits", "L")  # a pixel for each byte
    except ValueError:
        raise DecodeError("it is truncated or damaged") from None


def _colours(values: np.ndarray, kind: int, depth: int, table: tuple[int, ...]) -> np.ndarray:
    """Return samples (H, W, n) as uint8 (H, W, 3)."""
    if kind == PALETTE:
        if len(table) != 3 * 256:
            raise DecodeError("it is damaged (its colour table is not whole)")
        upper = (np.array(table).reshape(3, 256).T >> 8).astype(np.uint8)  # (256, 3)
        return np.take(upper, values[..., 0], axis=0)  # (H, W) -> (H, W, 3)
    upper = values * np.uint8(255) if depth == 1 else (values >> (depth - 8)).astype(np.uint8)
    if kind == WHITE_IS_ZERO:
        upper = ~upper
    return upper[..., :3] if kind == RGB else np.repeat(upper[..., :1], 3, axis=2)
