"""The archive of `dsa-data pack`: a zip of files as they are, and an index with their sizes and digests.

The files have the paths that they have in a clone, so that any program for zips can take them out. Nothing is
compressed (maps and part images are already), so that an archive cannot hold more than its own size.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from dsa_app.console import progress
from dsa_app.errors import StoreError
from dsa_app.file_names import why_no_file
from dsa_app.guard import guarded
from dsa_app.wording import shown
from dsa_reid.guard import check_stored

from ..keys import is_key

FORM, VERSION = "dsa-reid pack", 1
INDEX = "dsa-reid.json"  # the index, first in the archive
LOCK = "dvc.lock"  # by which DVC knows what is up to date
FOLDER = "artifacts"
BLOCK = 1 << 20  # bytes that are read at a time
LARGEST_TEXT = 16 << 20  # bytes of the index, and of dvc.lock
MOST_FILES = 10_000
NAME = re.compile(r"\w[\w.+-]{0,199}")  # of a dataset
SHA256, MD5 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


@dataclasses.dataclass(frozen=True)
class Packed:
    """A file of an index.

    Attributes:
        path: in the clone, "artifacts/<dataset>/iuv.h5" or "dvc.lock".
        size: in bytes.
        sha256: of its bytes, hexadecimal.
        md5: of its bytes, hexadecimal, the name by which DVC knows it.
        cached: whether DVC's cache held it where it was packed.
        here: whether this archive holds its bytes; else an earlier archive does.
    """

    path: str
    size: int
    sha256: str
    md5: str
    cached: bool
    here: bool

    def same(self, other: Packed) -> bool:
        """Return whether two files have the same bytes."""
        return (self.size, self.sha256) == (other.size, other.sha256)


@dataclasses.dataclass(frozen=True)
class Index:
    """What an archive holds: the dataset, its files sorted by path, and SHA-256 of the files that set up the pipeline.

    The latter are not in the archive (git carries them); a difference means that `dvc repro` may run stages again.
    """

    dataset: str
    files: tuple[Packed, ...]
    project: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the index as JSON."""
        return (json.dumps({"format": FORM, "version": VERSION, **dataclasses.asdict(self)}, indent=1) + "\n").encode()


class Digests:
    """SHA-256 and MD5 of bytes as they pass."""

    def __init__(self) -> None:
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def update(self, block: bytes) -> None:
        """Take in the next bytes."""
        self._sha256.update(block)
        self._md5.update(block)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """MD5 of the bytes so far, hexadecimal."""
        return self._md5.hexdigest()

    def of(self, file: Packed) -> bool:
        """Return whether the bytes so far are those of a file of an index."""
        return (self.sha256, self.md5) == (file.sha256, file.md5)


def hashed(file: BinaryIO | IO[bytes], digests: Digests) -> Iterator[bytes]:
    """Yield the bytes of an open file, at most `BLOCK` at a time, each after `digests` has taken it in."""
    while block := file.read(BLOCK):
        digests.update(block)
        yield block


def sha256_of(path: Path) -> str:
    """Return SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def carry_out(work: Iterator[bytes], size: int, label: str) -> None:
    """Run work that yields `size` bytes in blocks, with progress in MiB."""
    for _ in progress(work, -(-size // BLOCK), label, unit="MiB"):
        pass


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a reader of zips raises for a damaged archive into a StoreError; the system's errors pass."""
    with guarded(StoreError, path, "is damaged, or is not an archive of dsa-data pack", "Copy or pack it again."):
        try:
            yield
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError("an offset leads out of it") from None


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Index]]:
    """Open an archive; yield it with its index.

    Raises StoreError if it is missing or damaged, is not one of `dsa-data pack`, states more bytes than it has, holds
    anything but plain files, or a file whose path leads out of the dataset's folder.
    """
    if not path.is_file():
        raise StoreError(f"{path} {why_no_file(path)}. Name an archive of dsa-data pack.")
    with reading(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with reading(path):
            check_stored(archive, path)
            index = _index(json.loads(text(archive, INDEX)))
            _check_entries(archive, index)
        yield archive, index


def text(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a small file of an archive. Raises BadZipFile if it is missing, damaged or large."""
    if name not in archive.namelist():
        raise zipfile.BadZipFile(f"{name} is missing")
    if archive.getinfo(name).file_size > LARGEST_TEXT:
        raise zipfile.BadZipFile(f"{name} is larger than {LARGEST_TEXT} bytes")
    return archive.read(name)


def _index(values: Any) -> Index:
    """Return the index in JSON values. Raises ValueError for other values, and paths that lead elsewhere."""
    if not isinstance(values, dict) or values.get("format") != FORM:
        raise ValueError(f"{INDEX} is not its index")
    if values.get("version") != VERSION:
        raise ValueError(f"it has version {shown(values.get('version'))}, this program reads {VERSION}")
    dataset, listed, project = values.get("dataset"), values.get("files"), values.get("project")
    if not isinstance(dataset, str) or not NAME.fullmatch(dataset):
        raise ValueError(f"{shown(dataset)} is no name of a dataset")
    if not isinstance(listed, list) or not isinstance(project, dict) or not 0 < len(listed) <= MOST_FILES:
        raise ValueError(f"{INDEX} has no list of 1 to {MOST_FILES} files")
    files = tuple(_packed(one, dataset) for one in listed)
    paths = {file.path for file in files}
    above = {str(folder) for path in paths for folder in Path(path).parents}
    if len(paths) < len(files) or paths & above:
        raise ValueError("it lists two files at one path")
    return Index(dataset, files, {str(name): str(digest) for name, digest in project.items()})


def _packed(values: Any, dataset: str) -> Packed:
    names = {field.name: field.type for field in dataclasses.fields(Packed)}
    kinds = {"str": str, "int": int, "bool": bool}
    if not isinstance(values, dict) or values.keys() != names.keys():
        raise ValueError(f"a file of {INDEX} has other values than {', '.join(names)}")
    if wrong := [name for name, kind in names.items() if type(values[name]) is not kinds[str(kind)]]:
        raise ValueError(f"a file of {INDEX} has an invalid {wrong[0]}")
    file = Packed(**values)
    if file.path != LOCK and not _is_inside(file.path, dataset):
        raise ValueError(f"the path {shown(file.path)} is not below {FOLDER}/{dataset}")
    if file.size < 0 or not SHA256.fullmatch(file.sha256) or not MD5.fullmatch(file.md5):
        raise ValueError(f"{file.path} has no size or digests")
    return file


def _is_inside(path: str, dataset: str) -> bool:
    """Return whether a path is that of a file below the folder of a dataset, in plain form, and not hidden."""
    parts = path.split("/")
    plain = is_key(path) and "\\" not in path and path.isprintable() and not any(p[:1] in ("", ".") for p in parts)
    return plain and len(parts) > 2 and parts[:2] == [FOLDER, dataset]


def _check_entries(archive: zipfile.ZipFile, index: Index) -> None:
    """Raise ValueError unless an archive holds the plain files that its index says are there, and nothing else."""
    wanted = {file.path: file.size for file in index.files if file.here}
    entries = [entry for entry in archive.infolist() if entry.filename != INDEX]
    for entry in entries:
        if entry.is_dir() or stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError(f"{shown(entry.filename)} is a link or a folder")
        if entry.filename not in wanted:
            raise ValueError(f"{shown(entry.filename)} is not in its index")
        if entry.file_size != wanted[entry.filename]:
            raise ValueError(f"{entry.filename} has another size than its index says")
        if entry.flag_bits & 1:
            raise ValueError(f"{entry.filename} is encrypted")
    if len(archive.infolist()) != len(wanted) + 1:
        raise ValueError("files of its index are missing, or are there twice")
