"""HDF5's global heap, which has a store's attributes of text and no checksum: looked through before HDF5 reads it.

HDF5 2.0 reads an object of no size in it for ever. The heap begins just behind the superblock and the root group's
header (HDF5 File Format Specification 3.0, III.E).
"""

from __future__ import annotations

import struct
from pathlib import Path

START = b"GCOL\x01\0\0\0"
HEADER = 16  # bytes, of the heap and of each object in it
SEARCHED = 1 << 16  # bytes at the beginning of the file


def check_heap(path: Path) -> None:
    """Raise ValueError if the objects in a global heap at the beginning of a file do not fill it exactly."""
    with path.open("rb") as file:
        data = file.read(SEARCHED)
        place = data.find(START)
        while place >= 0:
            (size,) = struct.unpack_from("<Q", data.ljust(place + HEADER, b"\0"), place + 8)
            file.seek(place)
            _check(file.read(min(size, path.stat().st_size)), size)
            place = data.find(START, place + 1)


def _check(heap: bytes, size: int) -> None:
    place = HEADER
    if len(heap) < size:
        raise ValueError("its heap is truncated")
    while size - place >= HEADER:
        index, _, _, length = struct.unpack_from("<HHIQ", heap, place)
        # Object 0 is the free space at the end, its own header included.
        step = length if index == 0 else HEADER + -(-length // 8) * 8
        if step < HEADER or place + step > size or (index == 0 and place + step != size):
            raise ValueError("its heap is damaged")
        place += step
