"""Files of features in either format: HDF5, or .npy with a .csv of keys and a .json of their origin beside it."""

from __future__ import annotations

import csv
import dataclasses
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from dsa_app.errors import ConfigError, StoreError
from dsa_app.guard import guarded
from dsa_app.wording import shown
from dsa_data.keys import is_key
from dsa_data.stores.features import BLOCK, TYPES, FeatureStore, origin_of, write_features
from dsa_data.stores.header import Header, digest_of, header_of
from dsa_data.stores.mapped import allocated
from dsa_reid.atomic import atomic, resolved, write_atomic

FORMAT = "dsa-reid features"
SUFFIXES = (".h5", ".hdf5", ".npy")
COLUMNS = ["key", "digest"]
REMEDY = "Make it again: dsa-train embed DIR --out FILE --overwrite."


class NumpyFeatures:
    """Features (N, D) in a .npy file, mapped into memory; used as a `FeatureStore` is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        problem = "cannot be read with the .json and .csv beside it"
        with guarded(StoreError, path, problem, f"Keep the three together. {REMEDY}"):
            self._rows = _mapped(path)
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            with path.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
                head, *lines = csv.reader(file, strict=True)
            if about["format"] != FORMAT or head != COLUMNS:
                raise ValueError(f"the .json has the format {shown(about['format'])}")
            self.header = header_of(about["dataset"], about["configuration"], about["inputs"])
            self.origin = origin_of(self.header)
            self.keys, self.digests = [key for key, _ in lines], [digest for _, digest in lines]
            if bad := next((key for key in self.keys if not is_key(key)), None):
                raise ValueError(f"{shown(bad)} is not a path below the dataset's folder")
            self._checksum = int(about["checksum"])
        self.shape, self.dtype = self._rows.shape, self._rows.dtype
        if self.dtype not in TYPES.values() or len(self.shape) != 2 or len(self.keys) != self.shape[0]:
            raise StoreError(
                f"{path} holds {self.dtype} of shape {str(self.shape)[:80]} for {len(self.keys)} keys, expected a row "
                f"of {' or '.join(TYPES)} for each. {REMEDY}"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return rows (n, D), as stored."""
        return np.asarray(self._rows[rows])

    def check(self) -> None:
        """Raise StoreError if the rows are not those that were written."""
        checksum = 0
        for start in range(0, len(self), BLOCK):
            checksum = zlib.crc32(np.ascontiguousarray(self[start : start + BLOCK]).data, checksum)
        if checksum != self._checksum:
            raise StoreError(f"{self.path}: its features are damaged. {REMEDY}")

    def close(self) -> None:
        """Do nothing: a file that is mapped into memory has nothing to close."""

    @property
    def identity(self) -> str:
        """SHA-256 of the features' configuration, keys and checksum: other features have another."""
        return digest_of([json.dumps(self.header.configuration, sort_keys=True), *self.keys, str(self._checksum)])


def _mapped(path: Path) -> np.ndarray:
    """Return the array (N, D) in a .npy file, mapped. Raises ValueError for another type, and whatever NumPy raises."""
    rows = open_memmap(path, mode="r")
    if rows.dtype not in (np.float32, np.float16) or rows.ndim != 2:
        raise ValueError(f"it holds {rows.dtype}{rows.shape}, expected float32 or float16 (N, D)")
    return rows


FeatureFile = FeatureStore | NumpyFeatures


def open_features(path: Path) -> FeatureFile:
    """Open a file of features of either format. Raises StoreError."""
    return NumpyFeatures(path) if path.suffix == ".npy" else FeatureStore(path)


def check_name(path: Path) -> None:
    """Raise ConfigError unless features can be written to a file of this name."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--out {path}: expected a name that ends in .h5 or .npy.")


def check_neighbours(path: Path) -> None:
    """Raise StoreError if a .csv or .json that `dsa-train embed` did not write would be overwritten."""
    for suffix, ours in ((".csv", ",".join(COLUMNS)), (".json", FORMAT)) if path.suffix == ".npy" else ():
        beside = path.with_suffix(suffix)
        if beside.exists() and ours.encode() not in beside.read_bytes():
            raise StoreError(
                f"{beside} was not written as the features' companion and would be overwritten. Write to another "
                "file: --out; or allow it: --overwrite."
            )


def write(
    path: Path,
    out: Path,
    header: Header,
    keys: Sequence[str],
    digests: Sequence[str],
    shape: tuple[int, int],
    blocks: Iterable[np.ndarray],
) -> None:
    """Write features, HDF5 or .npy by the suffix of `out`; their type is configuration's `type`.

    Args:
        path: where the HDF5 or .npy file is written.
        out: where the caller moves it afterwards; the .csv and .json of a .npy are written beside that.
        keys, digests: of N images.
        shape: N and D.
        blocks: (n, D) each, N rows in all.
    """
    dtype = header.configuration["type"]
    if out.suffix != ".npy":
        write_features(path, header, keys, digests, shape, dtype, blocks)
        return
    checksum, start = 0, 0
    rows = allocated(path, TYPES[dtype], shape)
    for block in blocks:
        rows[start : start + len(block)] = block
        checksum = zlib.crc32(np.ascontiguousarray(block, TYPES[dtype]).data, checksum)
        start += len(block)
    rows.flush()
    # The old rows go first: a run killed here does not leave them beside the keys of the new ones.
    resolved(out).unlink(missing_ok=True)
    with atomic(out.with_suffix(".csv")) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(keys, digests, strict=True))
    about = {"format": FORMAT, **dataclasses.asdict(header), "checksum": checksum}
    write_atomic(out.with_suffix(".json"), (json.dumps(about, sort_keys=True, indent=1) + "\n").encode())
