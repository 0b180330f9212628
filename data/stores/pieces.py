"""Complete pieces of a stage's output, kept beside it until the whole can be assembled.

A stage that is killed finds its pieces again. They lie in `<output>.pieces/`, which DVC does not own, with the
configuration that they were made with; a run with another one is refused, and a second run at the same time too.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dsa_app.errors import StoreError
from dsa_app.lock import locked
from dsa_reid.atomic import atomic


class Pieces:
    """The pieces of `out`, made with `configuration`; use as a context, which holds the lock.

    Args:
        out: the file that the stage will write.
        configuration: all that decides its bytes, as plain JSON values.
        overwrite: throw pieces of another configuration away instead of refusing.
        lock: False for the helpers of a run whose first process holds the lock.
    """

    def __init__(self, out: Path, configuration: dict[str, Any], overwrite: bool = False, lock: bool = True) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".pieces")
        self.configuration = configuration
        self.overwrite = overwrite
        self.lock = lock
        self._locks = ExitStack()

    def __enter__(self) -> Pieces:
        if self.lock:
            busy = f"Another process is making {self.out} now. Wait for it, or stop it."
            self._locks.enter_context(locked(self.out, busy))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
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
        """Give the lock back."""
        self._locks.close()

    def has(self, name: str) -> bool:
        """Tell whether the piece `name` is complete."""
        return self._path(name).exists()

    def write(self, name: str, **arrays: np.ndarray) -> None:
        """Write a piece, whole or not at all."""
        with atomic(self._path(name)) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def read(self, name: str) -> dict[str, np.ndarray]:
        """Read a piece back. Raises StoreError if it is damaged."""
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise StoreError(f"{path} is damaged ({error}). Delete it and run again; the rest is kept.") from None

    def assemble(self, write: Callable[[Path], None]) -> Path:
        """Have `write` make the output under another name, put it in place, and drop the pieces."""
        with atomic(self.out) as part:
            write(part)
        shutil.rmtree(self.folder)
        return self.out

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _check_configuration(self) -> None:
        note = self.folder / "configuration.json"
        try:
            made_with = json.loads(note.read_text())
        except (FileNotFoundError, ValueError):
            made_with = None  # killed while it was made or removed: nothing can be known of the pieces
        if made_with == self.configuration:
            return
        begun = any(self.folder.glob("*.npz"))  # a run that was refused, or stopped at once, left nothing to go on with
        if made_with is not None and begun and not self.overwrite:
            raise StoreError(
                f"{self.folder} holds the pieces of a run with other settings: "
                f"{differences(made_with, self.configuration)}.\n"
                "Finish that run with its settings, or begin anew with --overwrite."
            )
        for piece in self.folder.glob("*.npz*"):
            piece.unlink()
        with atomic(note) as part:
            part.write_text(json.dumps(self.configuration, sort_keys=True))


def differences(made_with: dict[str, Any], wanted: dict[str, Any], above: str = "") -> str:
    """Say in words where two configurations differ: "size was 16, this run wants 32"."""
    found = []
    for key in sorted({*made_with, *wanted}):
        old, new = made_with.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found.append(differences(old, new, f"{above}{key}."))
        elif old != new:
            found.append(f"{above}{key} was {old}, this run wants {new}")
    return "; ".join(text for text in found if text)
