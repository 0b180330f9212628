"""Readers of files, guarded: whatever is wrong with a file becomes one error of ours that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsa_reid.errors import ModelError
from dsa_reid.guard import reason

from .errors import DsaError


@contextmanager
def guarded(kind: type[DsaError], path: Path, problem: str, remedy: str) -> Iterator[None]:
    """Turn every error within into `kind`, "PATH PROBLEM (REASON). REMEDY"; errors of ours, and the system's, pass.

    Libraries raise what they like for a damaged file: struct.error, IndexError, RecursionError, MemoryError. The
    system's errors (no permission, a disk that fails) get the name of the file, if they have none.
    """
    try:
        yield
    except (DsaError, ModelError):
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            raise kind(f"{path} {problem} ({error.filename or path} is missing). {remedy}") from None
        if isinstance(error, OSError) and error.errno and error.errno > 0:
            raise OSError(error.errno, os.strerror(error.errno), str(error.filename or path)) from None
        raise kind(f"{path} {problem} ({reason(error)}). {remedy}") from None
