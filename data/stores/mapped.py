"""NumPy arrays in files that are mapped into memory for writing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike


def allocated(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Return a new `.npy` file mapped for writing, its disk space allocated.

    On a full disk this raises OSError with the file's name. Without the allocation a later write to the mapped file
    would kill the process (SIGBUS).
    """
    array = open_memmap(path, "w+", dtype, shape)
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            error.filename = str(path)
            raise
    return array
