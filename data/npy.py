"""The array in the bytes of an .npy file, whose header is believed only as far as there are bytes."""

from __future__ import annotations

import io
import math

import numpy as np

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def array_of(data: bytes) -> np.ndarray:
    """Return the array in the bytes of an .npy. Raises ValueError for objects, and for fewer bytes than it states.

    `numpy.load` would claim the memory that the header states, before it looks for the bytes.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the format is not read")
    shape, fortran, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds objects, and no code in it was run")
    count = math.prod(shape)
    if count * dtype.itemsize > len(data) - stream.tell():
        raise ValueError(f"it states an array of {shape} and is shorter")
    values = np.frombuffer(data, dtype, count, stream.tell()) if count else np.empty(0, dtype)
    return values.reshape(shape, order="F" if fortran else "C")
