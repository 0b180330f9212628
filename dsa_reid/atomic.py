"""Atomic writing: a file or folder appears whole or not at all, and survives a power cut."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

SUFFIX = ".part"
TRIES = 1000  # to open a file in a folder that others remove when it is empty


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there takes the place of `path` at the end.

    The file and its folder are flushed to the disk, so that a power cut cannot leave a renamed file without its
    content. If `path` is a link, the file that it points to is replaced. Processes that write one path at the same time
    have a temporary file each. An error leaves `path` unchanged and deletes the temporary file, and the folders that
    were made for it; an OSError without a file name, as of a full disk, gets the name `path`. The next writer uses the
    temporary file of a killed process.
    """
    target = resolved(path)
    made: list[Path] = []
    part, owner = _claim(target, made)
    try:
        yield part
        flush(part)
        os.replace(part, target)
        fcntl.flock(owner, fcntl.LOCK_UN)  # the lock is of the file, which readers may open now (HDF5 asks for it)
        flush(target.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        remove_empty(made)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        os.close(owner)


def write_atomic(path: Path, data: bytes | memoryview) -> Path:
    """Write `data` to `path`, whole or not at all, and return `path`. An OSError names the file."""
    with atomic(path) as part:
        part.write_bytes(data)
    return path


def resolved(path: Path) -> Path:
    """Return where a link at `path` leads, whether or not something is there; `path` itself if it is not a link.

    Raises OSError for a link that leads to itself.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # it leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def _claim(target: Path, made: list[Path]) -> tuple[Path, int]:
    """Return an empty temporary file of `target` that no other process uses, and the descriptor that holds its lock."""
    for number in count():
        part = target.with_name(f"{target.name}.{number}{SUFFIX}" if number else target.name + SUFFIX)
        descriptor = acquire(part, wait=False, made=made)
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            return part, descriptor
    raise AssertionError("count() does not end")


def acquire(path: Path, wait: bool, made: list[Path] | None = None) -> int | None:
    """Lock the file at `path`, made if there is none; return its descriptor, None if another process holds the lock.

    Closing the descriptor releases the lock. The locked file is the one that is at `path` when this returns, not one
    that was renamed or deleted while this process waited for the lock.

    Args:
        made: gets the folders that were made for the file, the outermost first.
    """
    for number in count():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another process may remove an empty folder at any time, see `remove_empty`
            folders = make_folder(path.parent)
            if not folders and number == TRIES:  # the path is a link into a folder that is not there
                raise
            if made is not None:
                made += folders
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise AssertionError("count() does not end")


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it, each flushed to the disk; return those that did not exist, outermost first."""
    made: list[Path] = []
    while not folder.is_dir():
        made.append(folder)
        folder = folder.parent
    made.reverse()
    for one in made:
        one.mkdir(exist_ok=True)
        with suppress(OSError):  # a folder that may be entered and not read cannot be flushed
            flush(one.parent)
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove those of some folders, outermost first, that are empty."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """Flush a folder and all that is below it to the disk."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # of Linux: its whole file system at once
    if syncfs is None:
        for path in folder.rglob("*"):
            flush(path)
        flush(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
