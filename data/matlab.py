"""MATLAB 5 files, read in a process of their own: SciPy's reader can crash on a damaged file, or claim all memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsa_app.apart import run_apart
from dsa_app.errors import DsaError
from dsa_app.guard import guarded

PROGRAM = """
import io
import numpy as np
from scipy.io import loadmat

def plain(array):
    if array.dtype != object:
        return array
    return np.array([plain(np.asarray(cell)).squeeze() for cell in array.ravel()])

content = loadmat(sys.argv[1], variable_names=sys.argv[2:])
made = io.BytesIO()
np.savez(made, **{name: plain(content[name]) for name in sys.argv[2:]})
sys.stdout.buffer.write(made.getbuffer())
"""


def read_mat(
    path: Path, names: Sequence[str], kind: type[DsaError], problem: str, remedy: str
) -> dict[str, np.ndarray]:
    """Return variables of a MATLAB 5 file; one of cells as one array, a row a cell.

    Raises:
        kind: "PATH PROBLEM (REASON). REMEDY" if the file is damaged, lacks a variable, or has cells of several shapes.
    """
    with guarded(kind, path, problem, remedy):
        made = run_apart(PROGRAM, str(path.absolute()), *names, reader="SciPy")
        with np.load(io.BytesIO(made), allow_pickle=False) as arrays:
            return dict(arrays)
