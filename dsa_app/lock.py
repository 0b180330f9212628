"""A lock that lets one process at a time write an output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsa_reid.atomic import acquire, remove_empty, resolved

from .errors import BusyError


@contextmanager
def locked(guarded: Path, busy: str | None) -> Iterator[None]:
    """Hold the lock of a file or folder: `.NAME.lock` in the same folder, removed at the end.

    Folders that were made for the lock are removed too, if nothing else has come into them.

    Args:
        guarded: the output; it need not exist, and may be replaced or removed while the lock is held. Of a link, what
            it points to is guarded.
        busy: message of the BusyError that is raised if another process holds the lock; None: wait for the lock.
    """
    path = _file(guarded)
    made: list[Path] = []
    descriptor = acquire(path, wait=busy is None, made=made)
    if descriptor is None:
        raise BusyError(str(busy))
    try:
        yield
    finally:
        # Removed before the lock is released: a process that waits for this file then makes and locks a new one.
        path.unlink(missing_ok=True)
        os.close(descriptor)
        remove_empty(made)


def delete_left_lock(guarded: Path) -> None:
    """Delete the file of a lock whose process was killed; one that is held stays."""
    if _file(guarded).exists():
        with suppress(BusyError, OSError), locked(guarded, "held"):
            pass


def _file(guarded: Path) -> Path:
    guarded = resolved(guarded)
    return guarded.with_name(f".{guarded.name}.lock")
