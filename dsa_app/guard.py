"""Readers of files, guarded: whatever is wrong with a file becomes one error of ours that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsa_reid.errors import ModelError
from dsa_reid.guard import reason

from .errors import DsaError

SHOWN = 100  # characters of a value that a message quotes


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


def counted(count: int, thing: str, things: str = "") -> str:
    """Return a number with its noun: "1 fault", "2 faults", "2 identities"."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def shown(value: object, length: int = SHOWN) -> str:
    """Return a value as a message quotes it: as Python writes it, shortened in the middle."""
    return shortened(
        repr(value) if not isinstance(value, str) or len(value) < 10 * length else repr(value[: 10 * length]), length
    )


def shortened(text: str, length: int = SHOWN) -> str:
    """Return a text, shortened in the middle."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
