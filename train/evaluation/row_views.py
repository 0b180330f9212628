"""Rows of matrices that may stay on disk, in another order or with other columns."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .distmat import Rows


@dataclasses.dataclass(frozen=True)
class Selected:
    """Some rows, and some columns, of a matrix that may stay on disk.

    Args:
        rows: (N, D).
        indices: of the rows, (n,); None for all.
        columns: (d,); None for all.
    """

    rows: Rows
    indices: NDArray[np.int64] | None = None
    columns: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D of what is selected."""
        N, D = self.rows.shape
        return (N if self.indices is None else len(self.indices), D if self.columns is None else len(self.columns))

    def __getitem__(self, some: slice, /) -> np.ndarray:
        """Return rows (n, D), read in runs of neighbours."""
        rows = self.rows[some] if self.indices is None else _read_runs(self.rows, self.indices[some])
        return np.asarray(rows if self.columns is None else rows[:, self.columns])


@dataclasses.dataclass(frozen=True)
class Beside:
    """A matrix (N, D) that may stay on disk, with further columns (N, K)."""

    rows: Rows
    columns: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D + K."""
        return (self.rows.shape[0], self.rows.shape[1] + self.columns.shape[1])

    def __getitem__(self, some: slice, /) -> np.ndarray:
        """Return rows (n, D + K)."""
        return np.concatenate([np.asarray(self.rows[some]), self.columns[some]], axis=1)


def _read_runs(rows: Rows, indices: NDArray[np.int64]) -> np.ndarray:
    """Return the rows of some indices, in their order: consecutive ones are read together."""
    unique, inverse = np.unique(indices, return_inverse=True)
    ends = [0, *(np.flatnonzero(np.diff(unique) > 1) + 1).tolist(), len(unique)]
    runs = [np.asarray(rows[int(unique[a]) : int(unique[b - 1]) + 1]) for a, b in pairwise(ends) if b > a]
    return np.concatenate(runs)[inverse] if runs else np.asarray(rows[0:0])
