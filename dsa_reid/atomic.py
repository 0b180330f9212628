"""Atomic writing: a file appears whole or not at all, and survives a power cut."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SUFFIX = ".part"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there takes the place of `path` at the end.

    The file and its folder are flushed to the disk, so that a power cut cannot leave a renamed file without its
    content. If `path` is a link, the file that it points to is replaced. Processes that write one path at the same time
    have a temporary file each. An error leaves `path` unchanged and deletes the temporary file; an OSError without a
    file name, as of a full disk, gets the name `path`. The next writer uses the temporary file of a killed process.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part, owner = _claim(target)
    try:
        yield part
        _flush(part)
        os.replace(part, target)
        _flush(target.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
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


def _claim(target: Path) -> tuple[Path, int]:
    """Return an empty temporary file of `target` that no other process uses, and the descriptor that holds its lock."""
    for number in count():
        part = target.with_name(f"{target.name}.{number}{SUFFIX}" if number else target.name + SUFFIX)
        descriptor = acquire(part, wait=False)
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            return part, descriptor
    raise AssertionError("count() does not end")


def acquire(path: Path, wait: bool) -> int | None:
    """Lock the file at `path`, made if there is none; return its descriptor, None if another process holds the lock.

    Closing the descriptor releases the lock. The locked file is the one that is at `path` when this returns, not one
    that was renamed or deleted while this process waited for the lock.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
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


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
