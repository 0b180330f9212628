"""The whole distance matrix in a file, a block of queries at a time: never in memory as a whole.

A `.npy` is the matrix alone, float32 (Q, G). A `.h5` has it as `distmat`, with paths, identities, cameras and SHA-256
of query and gallery: `foreign.read_distances` reads both, and the second needs no table of labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.lib import format as npy

from dsa_app.errors import ConfigError
from dsa_app.lock import locked
from dsa_data.records import Record
from dsa_data.stores.header import created
from dsa_reid.atomic import atomic

from .distmat import Block

SUFFIXES = (".npy", ".h5", ".hdf5")
DISTMAT = "distmat"


def check_distance_file(path: Path, option: str) -> None:
    """Raise ConfigError, before any work, unless distances can be written to a file of this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{option} {path}: expected a name that ends in .npy or .h5.")


def write_distances(path: Path, query: Sequence[Record], gallery: Sequence[Record], blocks: Iterable[Block]) -> Path:
    """Write a distance matrix, in the format of the file's name, whole or not at all; return its path.

    Args:
        query, gallery: Q and G; a row is a query, a column a gallery image.
        blocks: as of `retrieval.ranked`; one at a time is in memory. The file has their type: float32, or float64 for
            distances of float64 that were given.

    Raises ConfigError for another format, BusyError while another process writes the file, OSError for a full disk,
    before any distance is written.
    """
    check_distance_file(path, "The file")
    shape, start = (len(query), len(gallery)), 0
    busy = f"Another process is writing {path}. Wait for it, or stop it."
    with locked(path, busy), atomic(path) as part, part.open("r+b") as file:
        for queries, distmat in blocks:
            if not start:
                start = _begin(part, path.suffix.lower(), distmat.dtype, query, gallery)
                os.posix_fallocate(file.fileno(), 0, start + distmat.itemsize * shape[0] * shape[1])
                file.seek(start)
            assert distmat.shape == (queries.stop - queries.start, shape[1]), "a column for every gallery image"
            file.write(np.ascontiguousarray(distmat).data)
            del distmat  # otherwise the next block is made while this one is in memory
    assert queries.stop == shape[0], "a row for every query"
    return path


def _begin(part: Path, suffix: str, dtype: np.dtype, query: Sequence[Record], gallery: Sequence[Record]) -> int:
    """Write all of a file but the rows of its matrix; return where these begin."""
    shape = len(query), len(gallery)
    return _npy(part, shape, dtype) if suffix == ".npy" else _hdf5(part, shape, dtype, {"q": query, "g": gallery})


def _npy(part: Path, shape: tuple[int, int], dtype: np.dtype) -> int:
    """Write the head of a .npy file; return where its rows begin."""
    with part.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        return file.tell()


def _hdf5(part: Path, shape: tuple[int, int], dtype: np.dtype, sides: dict[str, Sequence[Record]]) -> int:
    """Write all of an HDF5 file but the rows of its matrix; return where these begin."""
    with created(part) as file:
        for side, records in sides.items():
            file[f"{side}_pids"] = np.array([one.pid for one in records], np.int64)
            file[f"{side}_camids"] = np.array([one.camid for one in records], np.int64)
            if any(one.clothes for one in records):
                file[f"{side}_clothes"] = np.array([one.clothes for one in records], np.int64)
            file[f"{side}_paths"] = np.array([one.key.encode() for one in records], bytes)
            file[f"{side}_digests"] = np.array([one.digest.encode() for one in records], bytes)
        # Its rows are contiguous, and get their place now: they are written without HDF5, which crashes on a full disk.
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(shape)
        matrix = h5py.h5d.create(file.id, DISTMAT.encode(), h5py.h5t.py_create(dtype), space, layout)
        return int(matrix.get_offset())
