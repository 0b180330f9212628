"""The nearest of a gallery: exactly, by NumPy, from memory or from disk; or by FAISS."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from .errors import ModelError, NotInstalledError
from .extras import install_command

Kind = Literal["flat", "ivf", "hnsw"]
BLOCK = 8192  # gallery rows at a time: 128 MiB of 4096 float32
QUERIES = 1024  # of which a block's distances are held at a time: 32 MiB
NEIGHBOURS = 32  # of a node in HNSW
BREADTH = 128  # nodes that HNSW keeps in view while it searches
SAMPLES = 64  # rows that each cell of IVF is learnt from


class Rows(Protocol):
    """Features (N, D) that can be sliced: an array, a memory map, an HDF5 dataset, a feature store."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __getitem__(self, places: slice, /) -> Any:
        """Return the rows of a slice, as floats."""


class Ranking(NamedTuple):
    """The nearest of a gallery for Q queries, nearest first.

    Attributes:
        distances: float32 (Q, K), Euclidean; inf where an approximate index found fewer.
        places: int64 (Q, K), rows of the gallery; -1 where an approximate index found fewer.
    """

    distances: np.ndarray
    places: np.ndarray


def search(query: np.ndarray, gallery: Rows, top: int = 10, block: int = BLOCK) -> Ranking:
    """Find the `top` nearest rows of a gallery for every query, exactly, a block at a time.

    Args:
        query: float (Q, D).
        gallery: (N, D), in memory or not; float16 is computed with in float32.
        top: K, at most N; what rounds to one distance comes in the order of the gallery.
        block: rows of the gallery that are in memory at once.

    Raises ModelError for features that do not fit.
    """
    query = _checked(query, gallery, top)
    some = [slice(first, first + QUERIES) for first in range(0, len(query), QUERIES)] or [slice(0)]
    nothing = Ranking(np.empty((len(query), 0), np.float32), np.empty((len(query), 0), np.int64))
    found = [Ranking(nothing.distances[one], nothing.places[one]) for one in some]
    for start in range(0, gallery.shape[0], block):
        rows = np.asarray(gallery[start : start + block], np.float32)
        lengths = np.square(rows).sum(1)
        for n, one in enumerate(some):
            found[n] = _nearer(found[n], _squared(query[one], rows, lengths), start, top)
    squared, places = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
    return Ranking(np.sqrt(np.maximum(squared, 0)), places)


def build_index(gallery: Rows, kind: Kind = "flat", block: int = BLOCK) -> Any:
    """Build a FAISS index of a gallery; `faiss.write_index` saves it for whoever reads FAISS.

    Args:
        gallery: (N, D); a flat and an HNSW index keep all of it in memory.
        kind: "flat" is exact; "ivf" looks into the cells around the query; "hnsw" walks a graph of neighbours.
        block: rows that are added at once.

    Raises ModelError if FAISS is not installed.
    """
    faiss = require_faiss()
    N, D = gallery.shape
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatL2(D)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(D, NEIGHBOURS)
        index.hnsw.efSearch = BREADTH
    else:
        index = _trained_ivf(faiss, gallery)
    for start in range(0, N, block):
        index.add(np.ascontiguousarray(gallery[start : start + block], np.float32))
    return index


def search_index(index: Any, query: np.ndarray, top: int = 10) -> Ranking:
    """Find the `top` nearest rows by a FAISS index of squared Euclidean distances, as `build_index` makes."""
    query = np.ascontiguousarray(query, np.float32)
    if query.ndim != 2 or query.shape[1] != index.d:
        raise ModelError(f"Queries of shape {query.shape} cannot be searched in an index of {index.d} dimensions.")
    squared, places = index.search(query, min(top, index.ntotal))
    return Ranking(np.where(places < 0, np.inf, np.sqrt(np.maximum(squared, 0))).astype(np.float32), places)


def require_faiss() -> Any:
    """Return the module faiss. Raises NotInstalledError if it is not installed."""
    try:
        import faiss
    except ImportError:
        raise NotInstalledError(
            f"FAISS is not installed. Search with NumPy, or install it: {install_command('search')}"
        ) from None
    return faiss


def _trained_ivf(faiss: Any, gallery: Rows) -> Any:
    """Learn the cells of an inverted file from rows spread evenly over the gallery."""
    N, D = gallery.shape
    cells = max(1, min(round(4 * N**0.5), N // 39))  # FAISS wants 39 rows a cell to learn from
    quantizer = faiss.IndexFlatL2(D)
    index = faiss.IndexIVFFlat(quantizer, D, cells)
    step = max(1, N // (SAMPLES * cells))
    index.train(np.ascontiguousarray(gallery[::step], np.float32))
    index.nprobe = max(8, cells // 16)
    return index


def _checked(query: np.ndarray, gallery: Rows, top: int) -> np.ndarray:
    query = np.asarray(query, np.float32)
    if query.ndim != 2 or len(gallery.shape) != 2 or query.shape[1] != gallery.shape[1]:
        raise ModelError(
            f"Queries of shape {query.shape} cannot be searched in a gallery of shape {tuple(gallery.shape)}: expected "
            "(Q, D) and (N, D). Embed both with the same model."
        )
    if top < 1:
        raise ModelError(f"top = {top} does not hold: expected 1 or more.")
    return query


def _squared(query: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return |q - r|² = |q|² - 2 q·r + |r|², (Q, block), in place: that is most of the memory."""
    squared: np.ndarray = query @ rows.T
    squared *= -2
    squared += lengths
    squared += np.square(query).sum(1, keepdims=True)
    return squared


def _nearer(found: Ranking, squared: np.ndarray, start: int, top: int) -> Ranking:
    """Take a block's squared distances, of rows from `start` on, into the nearest that were found before it."""
    near = _least(squared, top)
    best = np.concatenate([found.distances, np.take_along_axis(squared, near, 1)], 1)
    places = np.concatenate([found.places, near + start], 1)
    order = np.lexsort((places, best))[:, :top]
    return Ranking(np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1))


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the `count` least values of each row, in no order; of equal ones the first."""
    if count >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    least = np.argpartition(values, count - 1, axis=1)[:, :count]
    last = np.take_along_axis(values, least[:, -1:], 1)  # the greatest of them
    tied = (values <= last).sum(1) > count  # a partition takes any of equal values
    least[tied] = np.argsort(values[tied], axis=1, kind="stable")[:, :count]
    return least
