"""One process at a time: locks beside what they guard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsa_reid.atomic import acquire

from .errors import BusyError


@contextmanager
def locked(guarded: Path, busy: str | None) -> Iterator[None]:
    """Hold the lock of a file or folder; the lock file `.NAME.lock` lies beside it and is removed at the end.

    Args:
        guarded: what the lock is for; it need not exist, and may be replaced or removed while the lock is held.
        busy: the message of the BusyError that is raised if another process holds the lock; None waits for it instead.
    """
    path = guarded.with_name(f".{guarded.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = acquire(path, wait=busy is None)
    if descriptor is None:
        raise BusyError(str(busy))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released: whoever waits for this file looks for a new one
        os.close(descriptor)
