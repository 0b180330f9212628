"""What all HDF5 stores have in common: header, keys, format, version; reading in workers, writing to a full disk.

Only the modules of this package name a dataset inside a file. docs/formats.md describes all formats. None holds a
time or a path: the same content gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import h5py
import numpy as np
import zstandard

from dsa_app.errors import BusyError, DsaError, StoreError
from dsa_app.file_names import why_no_file
from dsa_app.interrupt import deferred
from dsa_app.wording import shortened, shown
from dsa_reid.guard import reason as reason_of

from ..keys import is_key
from .heap import check_heap
from .in_use import check_not_in_use

OPEN_ELSEWHERE = ("already open for", "file locking flag")  # HDF5's errors for a file that this process has open
VERSION = 1  # of a store that says nothing else
COMPRESSION = 1  # zstd; level 3 takes a quarter more time and saves nothing, 9 takes six times as long for 4%


@dataclasses.dataclass(frozen=True)
class Header:
    """How a store was made.

    Args:
        dataset: the dataset's name.
        configuration: the whole configuration of the stage, engine and checkpoint digest included.
        inputs: SHA-256 of all that the stage read, see `digest_of`.
    """

    dataset: str
    configuration: dict[str, Any]
    inputs: str


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines of text, in hexadecimal."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


class OtherFormatError(StoreError):
    """An undamaged HDF5 file that is not a store of the expected kind."""


class Store:
    """An open store: its header and keys. A worker process, forked or spawned, may use it: it opens the file anew.

    Attributes:
        form: value of the file's attribute `format`.
        remedy: last sentence of every error: how to make the store again.
        missing: the same for a store that does not exist.
        versions: of the format that are read.
        version: of this file.
    """

    form: str
    remedy: str
    missing: str
    versions: tuple[int, ...] = (VERSION,)

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._owner = -1
        with self._guard():
            if self.path.is_file():  # else `file` says what there is instead
                check_heap(self.path)
            attributes = dict(self.file.attrs)
            self._check_form(attributes)
            self.version = int(attributes["version"])
            self.header = header_of(
                attributes["dataset"], json.loads(attributes["configuration"]), attributes["inputs"]
            )
            self.keys = keys_of(self._column("key", "S", None))
        self._index = {key: index for index, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_datasets": {}, "_owner": -1}

    def index(self, key: str) -> int:
        """Return the index of an image. Raises StoreError if the store does not contain it."""
        if key not in self._index:
            raise StoreError(f"{self.path} does not contain {key}. Make it again from the current manifest.")
        return self._index[key]

    @property
    def file(self) -> h5py.File:
        """The HDF5 file, opened in this process: a file that was opened before a fork cannot be read after it."""
        if self._file is None or self._owner != os.getpid():
            if not self.path.is_file():
                remedy = "Name a file, *.h5." if self.path.exists() else self.missing
                raise StoreError(f"{self.path} {why_no_file(self.path)}. {remedy}")
            check_not_in_use(self.path)
            self._file = h5py.File(self.path, "r", locking=False)
            self._datasets = {}
            self._owner = os.getpid()
        return self._file

    def _dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset of the open file, cached: to look it up takes longer than to read one image from it."""
        file = self.file  # clears the cache where it opens the file
        if name not in self._datasets:
            self._datasets[name] = file[name]
        return self._datasets[name]

    def _column(self, name: str, dtype: str, shape: tuple[int, ...] | None) -> np.ndarray:
        """Return a whole dataset, compared with the schema before it is read.

        Args:
            dtype: its type, or "S" for byte strings of any length.
            shape: its shape; None for one dimension of any length.
        """
        self._check_dataset(name, dtype, shape)
        return np.asarray(self.file[name][()])

    def _check_dataset(
        self, name: str, dtype: str, shape: tuple[int, ...] | None, chunks: tuple[int, ...] | None = None
    ) -> h5py.Dataset:
        """Return a dataset of this very file that has the type, shape, chunks and bytes that the schema says."""
        link, dataset = self.file.get(name, getlink=True), self.file[name]
        if not isinstance(link, h5py.HardLink) or not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{name} is not a dataset of this file")
        kind = dataset.dtype.kind if dtype == "S" else dataset.dtype.str.lstrip("<|")
        if kind != dtype or (len(dataset.shape) != 1 if shape is None else dataset.shape != shape):
            raise ValueError(f"{name} is {dataset.dtype}{dataset.shape}, expected {dtype}{shape or '(N,)'}")
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"{name} is in another file")
        stored = dataset.id.get_storage_size()
        if dataset.chunks != chunks or (not chunks and stored != dataset.nbytes):
            raise ValueError(f"{name} has {stored} bytes in the file, expected {dataset.nbytes}")
        return dataset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def _check_form(self, attributes: dict[str, Any]) -> None:
        form, version = attributes.get("format"), attributes.get("version")
        if form != self.form:
            found = f"it is a {str(form)[:60]} store" if form is not None else "it is another program's"
            raise OtherFormatError(
                f"{self.path} is not a {self.form} store: {found}. Check the path; --overwrite does not replace it."
            )
        if version not in self.versions:
            known = ", ".join(map(str, self.versions))
            found = shown(_plain(version))
            raise StoreError(f"{self.path} has version {found}, this program reads {known}. {self.remedy}")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn the errors of HDF5 and zstd for a damaged file into a StoreError; the system's errors stay OSError."""
        try:
            yield
        except DsaError:
            raise
        except Exception as error:  # HDF5's wrapper raises what it likes for a damaged file
            # The operating system's errors (too many open files, an unreadable disk) are not damage.
            if isinstance(error, OSError) and error.errno:
                raise OSError(error.errno, os.strerror(error.errno), str(self.path)) from None
            reason = reason_of(error)
            if any(words in " ".join(str(error).split()) for words in OPEN_ELSEWHERE):
                raise BusyError(f"{self.path} is open in another way in this process ({reason}). Close it.") from None
            raise StoreError(f"{self.path} is damaged or cut short ({reason}). {self.remedy}") from None


def note_other_dataset(store: Store, dataset: str) -> None:
    """Print a line if a store was made from another dataset than the one that the command works on."""
    if store.header.dataset != dataset:
        made_from = shortened(store.header.dataset)
        click.echo(f"note: {store.path} is of the dataset {made_from}, this command of {dataset}.", err=True)


def _plain(value: Any) -> Any:
    """Return an attribute as a message shows it: NumPy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def header_of(dataset: Any, configuration: Any, inputs: Any) -> Header:
    """Return the header of a store from values read from a file. Raises ValueError for values of another kind."""
    if not (isinstance(dataset, str) and isinstance(configuration, dict) and isinstance(inputs, str)):
        raise ValueError("its header is not one of ours")
    return Header(dataset, configuration, inputs)


def keys_of(column: np.ndarray) -> list[str]:
    """Return the keys in a column of bytes. Raises ValueError for a text that is no key, or is there twice."""
    keys = [key.decode() for key in column.tolist()]
    for key in keys:
        if not is_key(key):
            raise ValueError(f"{shown(key)} is not a path below the dataset's folder")
    if len(set(keys)) < len(keys):
        raise ValueError("duplicate key")
    return keys


@contextmanager
def creating(path: Path, form: str, header: Header, keys: Sequence[str], version: int = VERSION) -> Iterator[h5py.File]:
    """Create a store with header and keys, open for writing. Raises OSError with the file's name for a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with created(path) as file:
        file.attrs["format"], file.attrs["version"] = form, version
        file.attrs["dataset"], file.attrs["inputs"] = header.dataset, header.inputs
        file.attrs["configuration"] = json.dumps(header.configuration, sort_keys=True)
        file["key"] = np.array([key.encode() for key in keys], dtype=bytes)
        yield file


@contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file, open for writing. Raises OSError with the file's name for a full disk."""
    with _Disk(path, "w+") as disk:
        # libver="latest": such a file stores no times, and indexes a fixed number of chunks in the order of writing, so
        # that the same content gives the same bytes.
        try:
            with h5py.File(disk, "w", libver="latest") as file:
                yield file
        finally:
            if disk.error:
                raise disk.error from None


class _Disk(io.FileIO):
    """A file that reports no error to HDF5, but keeps the first one for `created` to raise.

    HDF5 crashes the process if it cannot write its buffers while it closes a file, as on a full disk.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`; after an error nothing is written. Returns the length of `data` in any case."""
        rest = memoryview(data)
        with deferred():
            try:
                while rest and not self.error:
                    rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = OSError(error.errno, error.strerror, str(self.name))
        return len(data)


def decompressed(frame: bytes, length: int) -> bytes:
    """Return the content of a zstd frame, which must say that it is so long: its memory is claimed by what it says."""
    if zstandard.frame_content_size(frame) != length:
        raise ValueError("a chunk is of another size")
    return zstandard.ZstdDecompressor().decompress(frame, max_output_size=length)


def to_hex(rows: np.ndarray) -> list[str]:
    """Return digests uint8 (N, 32) as N lines of hexadecimal."""
    return [row.tobytes().hex() for row in rows]


def from_hex(text: str) -> np.ndarray:
    """Return a digest in hexadecimal as uint8 (32,)."""
    return np.frombuffer(bytes.fromhex(text), np.uint8)
