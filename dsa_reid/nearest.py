"""Nearest-neighbour search in a gallery: exact by NumPy, from memory or from disk; or by FAISS."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch

from .errors import ModelError, NotInstalledError
from .extras import install_command
from .metric import not_finite

Kind = Literal["flat", "ivf", "hnsw"]
BLOCK = 8192  # gallery rows at a time: 128 MiB of 4096 float32
QUERIES = 1024  # queries at a time: 32 MiB of their distances to a block
NEIGHBOURS = 32  # links of a node in HNSW
BREADTH = 128  # candidates that HNSW keeps during a search (efSearch)
SAMPLES = 64  # rows that each cell of IVF is trained on


class Rows(Protocol):
    """Features (N, D) that can be sliced: an array, a memory map, an HDF5 dataset, a feature store."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return the rows of a slice, as floats."""


class Ranking(NamedTuple):
    """The nearest neighbours of Q queries in a gallery, nearest first.

    Attributes:
        distances: float32 (Q, K), Euclidean; inf where an approximate index returned fewer than K.
        indices: int64 (Q, K), rows of the gallery; -1 where an approximate index returned fewer than K.
    """

    distances: np.ndarray
    indices: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """Deprecated name of `indices`."""
        return self.indices


def search(query: np.ndarray | torch.Tensor, gallery: Rows, top: int = 10, block: int = BLOCK) -> Ranking:
    """Return the `top` nearest rows of a gallery for every query: exact, one block of the gallery at a time.

    Args:
        query: float (Q, D), an array or a tensor.
        gallery: (N, D), in memory or on disk; float16 is converted to float32.
        top: K; if it exceeds N, all rows are returned. Rows at the same distance keep the order of the gallery.
        block: rows of the gallery that are in memory at the same time.

    Raises ModelError for features of different dimensions, for features that are not finite, and for `top` below 1.
    """
    query = _checked(query, gallery, top)
    groups = [query[start : start + QUERIES] for start in range(0, len(query), QUERIES)] or [query]
    # For each group the nearest so far, with squared distances: (q, 0) before the first block, at most (q, K) after it.
    nearest = [Ranking(np.empty((len(q), 0), np.float32), np.empty((len(q), 0), np.int64)) for q in groups]
    # The gallery is read once, block by block; all queries are compared with a block before the next is read.
    for start in range(0, gallery.shape[0], block):
        rows = _rows(gallery, slice(start, start + block), "the gallery")
        lengths = np.square(rows).sum(1)
        for n, group in enumerate(groups):
            nearest[n] = _merge(nearest[n], _squared_distances(group, rows, lengths), start, top)
    squared, indices = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
    return Ranking(np.sqrt(np.maximum(squared, 0)), indices)


def build_index(gallery: Rows, kind: Kind = "flat", block: int = BLOCK) -> Any:
    """Return a FAISS index of a gallery; `faiss.write_index` saves it for any program that uses FAISS.

    Args:
        gallery: (N, D); every kind of index keeps all of it in memory.
        kind: "flat" is exact; "ivf" searches the cells around the query; "hnsw" follows a graph of neighbours.
        block: rows that are added at a time.

    Raises ModelError if FAISS is not installed, and for features that are not finite.
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
        index.add(_rows(gallery, slice(start, start + block), "the gallery"))
    return index


def search_index(index: Any, query: np.ndarray | torch.Tensor, top: int = 10) -> Ranking:
    """Return the `top` nearest rows by a FAISS index of squared Euclidean distances, as from `build_index`.

    Raises ModelError for queries of other dimensions than the index, and for queries that are not finite.
    """
    query = _rows(query, slice(None), "the queries")
    if query.ndim != 2 or query.shape[1] != index.d:
        raise ModelError(f"Queries of shape {query.shape} cannot be searched in an index of {index.d} dimensions.")
    squared, indices = index.search(query, min(top, index.ntotal))
    return Ranking(np.where(indices < 0, np.inf, np.sqrt(np.maximum(squared, 0))).astype(np.float32), indices)


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
    """Return an inverted file whose cells are trained on rows spread evenly over the gallery."""
    N, D = gallery.shape
    cells = max(1, min(round(4 * N**0.5), N // 39))  # FAISS needs 39 rows a cell to train
    quantizer = faiss.IndexFlatL2(D)
    index = faiss.IndexIVFFlat(quantizer, D, cells)
    step = max(1, N // (SAMPLES * cells))
    index.train(_rows(gallery, slice(None, None, step), "the gallery"))
    index.nprobe = max(8, cells // 16)
    return index


def _rows(features: Rows, some: slice, name: str) -> np.ndarray:
    """Return some rows as float32 (n, D). Raises ModelError if one is not finite; `name` says of what it is."""
    piece = features[some]
    if isinstance(piece, torch.Tensor):
        piece = piece.detach().float().cpu().numpy()
    rows = np.ascontiguousarray(piece, np.float32)
    if not np.isfinite(rows.sum(dtype=np.float64)):
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=tuple(range(1, rows.ndim))))
        row = (some.start or 0) + int(broken[0]) * (some.step or 1)
        raise not_finite(row, name)
    return rows


def _checked(query: np.ndarray | torch.Tensor, gallery: Rows, top: int) -> np.ndarray:
    query = _rows(query, slice(None), "the queries")
    if query.ndim != 2 or len(gallery.shape) != 2 or query.shape[1] != gallery.shape[1]:
        raise ModelError(
            f"Queries of shape {query.shape} cannot be searched in a gallery of shape {tuple(gallery.shape)}: expected "
            "(Q, D) and (N, D). Embed both with the same model."
        )
    if top < 1:
        raise ModelError(f"top = {top} is invalid: expected 1 or more.")
    return query


def _squared_distances(query: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return |q - r|² = |q|² - 2 q·r + |r|², (Q, block), computed in one array, which is most of the memory."""
    squared: np.ndarray = query @ rows.T
    squared *= -2
    squared += lengths
    squared += np.square(query).sum(1, keepdims=True)
    return squared


def _merge(nearest: Ranking, squared: np.ndarray, start: int, top: int) -> Ranking:
    """Return the nearest of previous blocks and of the block at `start`, whose squared distances are (Q, block)."""
    columns = _smallest(squared, top)
    distances = np.concatenate([nearest.distances, np.take_along_axis(squared, columns, 1)], 1)
    indices = np.concatenate([nearest.indices, columns + start], 1)
    # By distance, then by row of the gallery, so that the result does not depend on the size of a block.
    order = np.lexsort((indices, distances))[:, :top]
    return Ranking(np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1))


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the `count` smallest values of each row, in no order; of equal values the first."""
    if count >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    # A partition is faster than a sort, but takes any of equal values. Rows in which the largest of the smallest occurs
    # again beyond them are sorted after all.
    smallest = np.argpartition(values, count - 1, axis=1)[:, :count]
    largest = np.take_along_axis(values, smallest[:, -1:], 1)
    tied = (values <= largest).sum(1) > count
    smallest[tied] = np.argsort(values[tied], axis=1, kind="stable")[:, :count]
    return smallest
