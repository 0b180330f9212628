"""ONNX files looked through before a runtime opens them: what they state of themselves, and that their sizes are true.

A file is a message of protocol buffers: fields, each a number and a kind, then a number or a stated count of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # kinds of fields
GRAPH, METADATA = 7, 14  # fields of the model
INITIALIZER = 5  # of the graph
DIMS, TYPE, RAW, EXTERNAL, LOCATION = 1, 2, 9, 13, 14  # of a tensor
SIZES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}  # bytes of a number, by its type


def onnx_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of an ONNX file.

    Raises ValueError if fields end beyond their message, a tensor of the network has another number of bytes than its
    shape and type need, or its numbers are in another file.
    """
    found: dict[str, str] = {}
    for field, value in _fields(data):
        if field == METADATA and isinstance(value, memoryview):
            pair = dict(_fields(value))
            found[bytes(pair[1]).decode()] = bytes(pair[2]).decode()
        elif field == GRAPH and isinstance(value, memoryview):
            for inner, tensor in _fields(value):
                if inner == INITIALIZER and isinstance(tensor, memoryview):
                    _check_tensor(tensor)
    return found


def _check_tensor(tensor: memoryview) -> None:
    dims: list[int] = []
    kind, raw = 0, None
    for field, value in _fields(tensor):
        if field in (EXTERNAL, LOCATION):
            raise ValueError("its numbers are in another file")
        if field == DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif field == TYPE and isinstance(value, int):
            kind = value
        elif field == RAW and isinstance(value, memoryview):
            raw = len(value)
    if raw is not None and raw != math.prod(dims) * SIZES.get(kind, 0):
        raise ValueError(f"a tensor of shape {dims[:8]} comes with {raw} bytes")
    if raw is None and math.prod(dims) > len(tensor):
        raise ValueError(f"a tensor of shape {dims[:8]} comes with too few numbers")


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: number, and value."""
    view, place = memoryview(data), 0
    while place < len(view):
        key, place = _varint(view, place)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(view, place)
            yield field, value
            continue
        if kind not in (EIGHT_BYTES, BYTES, FOUR_BYTES):
            raise ValueError("it is not a message of protocol buffers")
        length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind, -1)
        if length < 0:
            length, place = _varint(view, place)
        if place + length > len(view):
            raise ValueError("it is truncated")
        yield field, view[place : place + length]
        place += length


def _packed(view: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(view):
        number, place = _varint(view, place)
        numbers.append(number)
    return numbers


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(view):
            raise ValueError("it is truncated")
        byte = view[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError("it holds a number of more than ten bytes")
