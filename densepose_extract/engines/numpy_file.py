"""Arrays in files of numpy.save and numpy.savez, whose headers are believed only as far as there are bytes."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np

from dsa_reid.decoding.limits import pixel_limit

BYTES_A_PIXEL = 64  # of the arrays in an .npz, at most: I, U, V in float64 take 24
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


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays in the bytes of an .npz by name.

    Raises ValueError, or whatever zipfile raises, for a damaged archive, and for one that states more than a map of the
    largest image takes: a few bytes may inflate.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        stated = sum(entry.file_size for entry in archive.infolist())
        if stated > BYTES_A_PIXEL * pixel_limit():
            raise ValueError(
                f"it states {stated} bytes, more than a map of {pixel_limit()} pixels, $DSA_MAX_PIXELS, takes"
            )
        return {name.removesuffix(".npy"): array_of(archive.read(name)) for name in archive.namelist()}
