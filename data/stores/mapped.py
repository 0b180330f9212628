"""NumPy arrays that lie on the disk and are written in place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike


def claimed(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Make a `.npy` file whose space is claimed at once, and map it for writing.

    Writing to a mapped file that finds the disk full kills the process (SIGBUS); claiming raises OSError that names it.
    """
    array = open_memmap(path, "w+", dtype, shape)
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            error.filename = str(path)
            raise
    return array
