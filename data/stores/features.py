"""The schema of the feature store (`features.h5`): a matrix that is mapped into memory, not loaded."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import StoreError

from .header import Header, Store, creating, digest_of, from_hex, to_hex

FEATURES = "dsa-reid features"
BLOCK = 4096  # rows that are read and checked at a time
TYPES = {"float32": np.float32, "float16": np.float16}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Which model computed features, and how a row is divided. Features are comparable only if their origins are equal.

    Args:
        model: SHA-256 of the model file, hexadecimal.
        preprocessing: of the images, as plain values.
        parts: lengths of the features that a row joins, as in {"global": 2048, "local": 2048}; each has norm 1.
    """

    model: str
    preprocessing: dict[str, Any]
    parts: dict[str, int]


def origin_of(header: Header) -> Origin:
    """Return the origin that a header states. Raises KeyError, TypeError or ValueError for one of another form."""
    origin = Origin(**header.configuration["origin"])
    lengths = list(origin.parts.values())
    if not (isinstance(origin.model, str) and isinstance(origin.preprocessing, dict) and lengths):
        raise ValueError("it does not state its origin")
    if not all(isinstance(length, int) and 0 < length < 1 << 31 for length in lengths):
        raise ValueError(f"its parts have the lengths {str(lengths)[:40]}")
    return origin


class FeatureStore(Store):
    """The features of N images: an array (N, D) on disk that can be sliced; a row is checked when it is first read."""

    form = FEATURES
    remedy = "Make it again: dsa-train embed DIR --out FILE --overwrite."
    missing = "Make it first: dsa-train embed DIR --out FILE."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.origin = origin_of(self.header)
            self.digests = to_hex(self._column("digest", "u1", (len(self), 32)))
            self.checksums = self._column("checksum", "u4", (len(self),))
            self.shape = (len(self), sum(self.origin.parts.values()))
            dtype = "f2" if self.file["features"].dtype == np.float16 else "f4"
            rows = self._check_dataset("features", dtype, self.shape)
            self.dtype: np.dtype = rows.dtype
            offset = rows.id.get_offset()  # the dataset is contiguous in the file: its rows can be mapped into memory
        self._checked = np.zeros(len(self), bool)
        self._rows: np.ndarray = np.empty(self.shape, self.dtype)
        if len(self):
            self._rows = np.memmap(self.path, self.dtype, "r", offset, self.shape)

    def __getitem__(self, indices: slice) -> np.ndarray:
        """Return rows (n, D), as stored. Raises StoreError if one is damaged."""
        rows = self._rows[indices]
        # A large gallery is read again for every block of queries: to check it each time takes longer than to rank it.
        if not self._checked[indices].all():
            for row, checksum, key in zip(rows, self.checksums[indices], self.keys[indices], strict=True):
                if zlib.crc32(row) != checksum:
                    raise StoreError(f"{self.path}: the feature of {key} is damaged. {self.remedy}")
            self._checked[indices] = True
        return np.asarray(rows)

    def read(self) -> np.ndarray:
        """Return all rows (N, D) in memory, as stored. Raises StoreError if one is damaged."""
        blocks = [self[start : start + BLOCK] for start in range(0, len(self), BLOCK)]
        return np.concatenate(blocks) if blocks else self._rows

    def check(self) -> None:
        """Raise StoreError if a row is damaged."""
        for start in range(0, len(self), BLOCK):
            self[start : start + BLOCK]

    @property
    def identity(self) -> str:
        """SHA-256 of configuration, keys and checksums: equal only for equal features."""
        rows = (f"{key} {checksum}" for key, checksum in zip(self.keys, self.checksums, strict=True))
        return digest_of([json.dumps(self.header.configuration, sort_keys=True), *rows])


def write_features(
    path: Path,
    header: Header,
    keys: Sequence[str],
    digests: Sequence[str],
    shape: tuple[int, int],
    dtype: str,
    blocks: Iterable[np.ndarray],
) -> Path:
    """Write a feature store.

    Args:
        header: its configuration holds `origin`, an `Origin` as a dict, and may hold more.
        keys, digests: of N images: path under their root, and SHA-256 of the file.
        shape: N and D.
        dtype: "float32" or "float16".
        blocks: (n, D) each, N rows in all; one block at a time is in memory.
    """
    checksums = np.zeros(shape[0], np.uint32)
    with creating(path, FEATURES, header, keys) as file:
        rows = file.create_dataset("features", shape, TYPES[dtype])
        start = 0
        for block in blocks:
            block = np.ascontiguousarray(block, TYPES[dtype])
            rows[start : start + len(block)] = block
            for index, row in enumerate(block, start):
                checksums[index] = zlib.crc32(row)
            start += len(block)
        assert start == shape[0] == len(keys) == len(digests), "a feature for every key"
        file["checksum"] = checksums
        file["digest"] = np.array([from_hex(digest) for digest in digests], np.uint8).reshape(len(digests), 32)
    return path
