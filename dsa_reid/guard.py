"""Readers of files, guarded: whatever is wrong with a file comes out as one ModelError that names it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ModelError

SHOWN = 200  # characters of another's message that are passed on
MISNAMED = {
    FileNotFoundError: "Check its name.",
    NotADirectoryError: "Check its name.",
    IsADirectoryError: "Name a file.",
}


@contextmanager
def guarded(path: str | os.PathLike[str], problem: str, remedy: str) -> Iterator[None]:
    """Turn every error within into a ModelError "PATH PROBLEM: REASON. REMEDY"; ModelErrors pass.

    Readers of others raise what they like on damaged files: struct.error, IndexError, RecursionError, MemoryError.
    """
    try:
        yield
    except ModelError:
        raise
    except OSError as error:
        helps = next((other for kind, other in MISNAMED.items() if isinstance(error, kind)), remedy)
        raise ModelError(f"{path} cannot be read: {error.strerror or reason(error)}. {helps}") from None
    except Exception as error:
        raise ModelError(f"{path} {problem}: {reason(error)}. {remedy}") from None


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, shortened; its type where it has none."""
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(". ") if lines else ""
    if isinstance(error, MemoryError):
        return "memory does not suffice"
    if isinstance(error, KeyError):
        # a library's sentence, as h5py's of a link that leads nowhere, or a key
        text = str(error.args[0]) if error.args and " " in str(error.args[0]) else f"{text} is missing"
    return (text if len(text) <= SHOWN else text[:SHOWN] + "…") or type(error).__name__


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the files in a zip archive of torch by name, without the folder that all of them are in.

    Every byte is held against its checksum. torch stores files as they are, so that they take no more than the archive.

    Raises zipfile.BadZipFile, OSError or whatever zipfile raises; to be called within `guarded`.
    """
    with zipfile.ZipFile(path) as archive:
        check_stored(archive, path)
        names = archive.namelist()
        folders = {name.split("/")[0] for name in names}
        within = len(folders.pop()) + 1 if len(folders) == 1 else 0
        if len({name[within:] for name in names}) < len(names):
            raise zipfile.BadZipFile("it holds two files of one name")
        return {name[within:]: archive.read(name) for name in names}


def check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise zipfile.BadZipFile if files in the archive at `path` could take more memory than it has bytes."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise zipfile.BadZipFile("it holds compressed files, which torch and numpy.savez never write")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise zipfile.BadZipFile("it states files that are larger than it is")
