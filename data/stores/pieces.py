"""Complete pieces of a stage's output, stored until the whole output can be assembled.

A stage that was killed resumes from its pieces. They are in the folder `<output>.pieces/`, which DVC does not own, with
the configuration that they were made with. A run with another configuration is refused, and so is a second run at the
same time.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dsa_app.config import setting_changes
from dsa_app.errors import BusyError, StoreError
from dsa_app.guard import guarded
from dsa_app.lock import delete_left_lock, locked
from dsa_reid.atomic import atomic, make_folder, resolved
from dsa_reid.guard import check_stored


class Pieces:
    """The pieces of `out`, made with `configuration`. A context manager, which holds the lock.

    Args:
        out: the file that the stage will write.
        configuration: all settings that decide its bytes, as plain JSON values.
        overwrite: delete pieces of another configuration instead of raising StoreError.
        lock: False in the workers of a run whose main process holds the lock.
    """

    def __init__(self, out: Path, configuration: dict[str, Any], overwrite: bool = False, lock: bool = True) -> None:
        self.out = resolved(out)  # pieces of an output on a larger disk are there too
        self.folder = self.out.with_name(self.out.name + ".pieces")
        self.configuration = configuration
        self.overwrite = overwrite
        self.lock = lock
        self._locks = ExitStack()
        self._locked = False

    def __enter__(self) -> Pieces:
        if self.lock:
            busy = f"Another process is writing {self.out}. Wait for it, or stop it."
            self._locks.enter_context(locked(self.out, busy))
            self._locked = True
        try:
            make_folder(self.folder)
            if self.lock:
                self._check_configuration()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; first delete the folder, if this run was refused or stopped before it had made a piece."""
        if self._locked and self.folder.is_dir() and not any(self.folder.glob("*.npz*")):
            shutil.rmtree(self.folder)
        self._locked = False
        self._locks.close()

    def has(self, name: str) -> bool:
        """Return whether the piece `name` is complete."""
        return self._path(name).exists()

    def write(self, name: str, **arrays: np.ndarray) -> None:
        """Write a piece, whole or not at all."""
        with atomic(self._path(name)) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def read(self, name: str) -> dict[str, np.ndarray]:
        """Read a piece back. Raises StoreError if it is damaged."""
        path = self._path(name)
        remedy = "Delete it and run the same command again; the other pieces are kept."
        with guarded(StoreError, path, "is damaged", remedy):
            return _arrays(path)

    def assemble(self, write: Callable[[Path], None]) -> Path:
        """Let `write` make the output under another name, rename it, and delete the pieces."""
        with atomic(self.out) as part:
            write(part)
        shutil.rmtree(self.folder)
        return self.out

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _check_configuration(self) -> None:
        note = self.folder / "configuration.json"
        try:
            made_with = json.loads(note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            made_with = None  # a run was killed before it had written the note: its pieces cannot be used
        if made_with == self.configuration:
            return
        begun = any(self.folder.glob("*.npz"))  # a run that made no piece has nothing to lose
        if made_with is not None and begun and not self.overwrite:
            raise StoreError(
                f"{self.folder} has the pieces of an unfinished run with other settings: "
                f"{setting_changes(made_with, self.configuration)}.\n"
                "Finish that run with its settings, or start again with --overwrite."
            )
        for piece in self.folder.glob("*.npz*"):
            piece.unlink()
        with atomic(note) as part:
            part.write_text(json.dumps(self.configuration, sort_keys=True))


def delete_leftovers(out: Path, configuration: dict[str, Any]) -> None:
    """Delete the pieces of a run of this configuration that was killed after it had put its complete output in place.

    Pieces of other settings, which may be resumed, stay, and so do those that another process is at work with.
    """
    if not Pieces(out, configuration).folder.exists():
        delete_left_lock(out)
        return
    with suppress(StoreError, BusyError), Pieces(out, configuration) as pieces:
        shutil.rmtree(pieces.folder)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file that `numpy.savez` wrote: as they are, not compressed, each with a checksum.

    Raises whatever is raised for another file; the memory that is taken is never more than the file's size.
    """
    with zipfile.ZipFile(path) as archive:
        check_stored(archive, path)
        return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in archive.infolist()}


def _array(data: bytes) -> np.ndarray:
    """Return the array in the bytes of a .npy file. Raises ValueError if it states more numbers than it has."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is of another version of .npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    rest = data[file.tell() :]
    if fortran or dtype.hasobject or len(rest) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of {dtype}{shape} has {len(rest)} bytes")
    return np.frombuffer(bytearray(rest), dtype).reshape(shape)
