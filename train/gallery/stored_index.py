"""A FAISS index from a file, which a process of its own reads and searches first: a crafted one can end the process.

The SHA-256 in the note beside an index finds damage; a crafted index may come with a crafted note.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsa_app.apart import MEMORY, run_apart
from dsa_reid.nearest import BREADTH, Kind, require_faiss

COPIES = 4  # of the file that reading may take, the address space of a mapped one included
SECONDS = 600.0  # of an index of some gigabytes on a slow disk
PROGRAM = """
import faiss, numpy as np

path, kind, rows, dimensions, breadth = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])

def check(true, problem):
    if not true:
        sys.exit(problem)

def numbers(vector):
    return faiss.vector_to_array(vector).astype(np.int64)

index = faiss.read_index(path, faiss.IO_FLAG_MMAP if kind == "ivf" else 0)
types = {"flat": faiss.IndexFlatL2, "ivf": faiss.IndexIVFFlat, "hnsw": faiss.IndexHNSWFlat}
check(type(index) is types[kind], f"it is an {type(index).__name__}")
check((index.ntotal, index.d) == (rows, dimensions), f"it has {index.ntotal} rows of {index.d} dimensions")
check(index.metric_type == faiss.METRIC_L2 and index.is_trained, "it is of another metric")
if kind == "ivf":
    lists, quantizer = index.invlists, faiss.downcast_index(index.quantizer)
    check(type(quantizer) is faiss.IndexFlatL2, "its cells are of another kind")
    check(quantizer.ntotal == index.nlist == lists.nlist and quantizer.d == dimensions, "its cells do not fit")
    check(lists.code_size == index.code_size == 4 * dimensions, "its rows are of another size")
    check(0 < index.nprobe <= max(8, index.nlist) and index.max_codes == 0, "it searches another number of cells")
    sizes = [lists.list_size(n) for n in range(lists.nlist)]
    check(sum(sizes) == rows, "its cells have another number of rows")
    found = [faiss.rev_swig_ptr(lists.get_ids(n), size).copy() for n, size in enumerate(sizes) if size]
    check(np.array_equal(np.sort(np.concatenate(found)), np.arange(rows)), "its row numbers do not fit")
    index.nprobe = index.nlist
if kind == "hnsw":
    graph, storage = index.hnsw, faiss.downcast_index(index.storage)
    check(type(storage) is faiss.IndexFlatL2, "its rows are of another kind")
    check((storage.ntotal, storage.d) == (rows, dimensions), "its rows do not fit")
    levels, offsets, places = numbers(graph.levels), numbers(graph.offsets), numbers(graph.cum_nneighbor_per_level)
    links = numbers(graph.neighbors)
    check(graph.efSearch == breadth, "it searches in another way")
    check(len(levels) == rows and len(offsets) == rows + 1, "its graph has another number of rows")
    check(levels.min() >= 1 and levels.max() < len(places), "its levels do not fit")
    check(graph.max_level == levels.max() - 1, "its levels do not fit")
    check(places[0] == 0 and (np.diff(places) > 0).all(), "its levels do not fit")
    check(offsets[0] == 0 and np.array_equal(np.diff(offsets), places[levels]), "its links do not fit")
    check(len(links) == offsets[-1] and links.min() >= -1 and links.max() < rows, "its links do not fit")
    check(0 <= graph.entry_point < rows and levels[graph.entry_point] == levels.max(), "its entry does not fit")
    for level in range(1, levels.max()):  # a link leads to a row that is on its level too
        upper = np.flatnonzero(levels > level)
        for row in upper:
            begin = offsets[row] + places[level]
            some = links[begin : begin + places[level + 1] - places[level]]
            check((levels[some[some >= 0]] > level).all(), "its links do not fit")
found = index.search(np.zeros((1, dimensions), np.float32), min(10, rows))[1]
check(found.min() >= -1 and found.max() < rows, "it returns row numbers out of range")
"""


def read_index(path: Path, kind: Kind, rows: int, dimensions: int) -> Any:
    """Return the index in a file. Raises ValueError unless it is one of this kind, of so many rows and dimensions."""
    arguments = (str(path.absolute()), kind, str(rows), str(dimensions), str(BREADTH))
    memory = MEMORY + COPIES * path.stat().st_size
    run_apart(PROGRAM, *arguments, reader="FAISS", memory=memory, seconds=SECONDS)
    faiss = require_faiss()
    # IVF: the inverted lists stay on disk, and those that are searched are read.
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if kind == "ivf" else 0)
