"""Arrays in files of numpy.savez, whose headers are believed only as far as there are bytes."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from dsa_data.npy import array_of
from dsa_reid.decoding.limits import pixel_limit

BYTES_A_PIXEL = 64  # of the arrays in an .npz, at most: I, U, V in float64 take 24


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
