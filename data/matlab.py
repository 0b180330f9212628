"""MATLAB 5 files, read in a process of their own: SciPy's reader can crash on a damaged file, or claim all memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsa_app.apart import MEMORY, run_apart
from dsa_app.errors import DsaError
from dsa_app.guard import guarded

PROGRAM = """
import io
import numpy as np
from scipy.io import loadmat

def plain(array):
    if array.dtype.names:
        array = array[array.dtype.names[FIELD]]
    if array.dtype != object:
        return array
    return np.array([plain(np.asarray(cell)).squeeze() for cell in array.ravel()])

content = loadmat(sys.argv[1], variable_names=sys.argv[2:])
made = io.BytesIO()
np.savez(made, **{name: plain(content[name]) for name in sys.argv[2:]})
sys.stdout.buffer.write(made.getbuffer())
"""


LIST = """
from scipy.io import whosmat
print("\\n".join(name for name, shape, kind in whosmat(sys.argv[1]) if kind in KINDS))
"""
KINDS = ("double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
COPIES = 6  # of a file's bytes that its reader has in memory at most: as read, as arrays, and as they are passed on


def variables_of_mat(path: Path, kind: type[DsaError], problem: str, remedy: str) -> list[str]:
    """Return the names of the variables of a MATLAB 5 file that are numbers; errors as for `read_mat`."""
    with guarded(kind, path, problem, remedy):
        return run_apart(f"KINDS = {KINDS}" + LIST, str(path.absolute()), reader="SciPy").decode().split()


def read_mat(
    path: Path, names: Sequence[str], kind: type[DsaError], problem: str, remedy: str, field: int = 0
) -> dict[str, np.ndarray]:
    """Return variables of a MATLAB 5 file; one of cells as one array, a row a cell.

    Args:
        field: which field of structures is read, by its number.

    Raises:
        kind: "PATH PROBLEM (REASON). REMEDY" if the file is damaged, lacks a variable, or has cells of several shapes.
    """
    with guarded(kind, path, problem, remedy):
        memory = MEMORY + COPIES * path.stat().st_size
        made = run_apart(f"FIELD = {field}" + PROGRAM, str(path.absolute()), *names, reader="SciPy", memory=memory)
        with np.load(io.BytesIO(made), allow_pickle=False) as arrays:
            return dict(arrays)
