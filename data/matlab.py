"""MATLAB 5 files, read in a process of their own: SciPy's reader can crash on a damaged file, or claim all memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsa_app.errors import DsaError
from dsa_app.guard import guarded

MEMORY = 2 << 30  # bytes of address space that the process may take, libraries included
SECONDS = 60.0
PROGRAM = """
import io, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import numpy as np
from scipy.io import loadmat

def plain(array):
    if array.dtype != object:
        return array
    return np.array([plain(np.asarray(cell)).squeeze() for cell in array.ravel()])

content = loadmat(sys.argv[2], variable_names=sys.argv[3:])
made = io.BytesIO()
np.savez(made, **{name: plain(content[name]) for name in sys.argv[3:]})
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
        return _read(path, names)


def _read(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(MEMORY), str(path.absolute()), *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"SciPy reads for more than {SECONDS:.0f} s") from None
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(words[-1] if words and done.returncode > 0 else "SciPy's reader crashed")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        return dict(arrays)
