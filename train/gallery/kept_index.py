"""The FAISS index of a gallery: built once, and kept beside the features with a note of what it was built from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from dsa_app.errors import StoreError
from dsa_app.interrupt import deferred
from dsa_reid.atomic import atomic, write_atomic
from dsa_reid.guard import reason
from dsa_reid.model import digest_of
from dsa_reid.nearest import Kind, build_index, require_faiss
from dsa_reid.visible import VisibleRows

from .feature_files import FeatureFile
from .stored_index import read_index

FORMAT = "dsa-reid index"


def index_file(features: Path, kind: Kind) -> Path:
    """Return the usual file of the index of a file of features."""
    return features.with_name(f"{features.name}.{kind}.faiss")


def kept_index(gallery: FeatureFile | VisibleFile, kind: Kind, path: Path, overwrite: bool) -> Any:
    """Return the index at `path`; it is built and written if it does not exist, or with `overwrite`."""
    faiss = require_faiss()
    about: dict[str, object] = {"format": FORMAT, "kind": kind, "features": gallery.identity}
    note = path.with_name(path.name + ".json")  # of what the index was built from
    # The note is written last: an index without one was interrupted, and is written again.
    if path.exists() and note.exists() and not overwrite:
        try:
            written = json.loads(note.read_text(encoding="utf-8"))
            if not isinstance(written, dict) or written.get("format") != FORMAT:
                raise ValueError(f"{note.name} is not the note of an index")
            if {name: written.get(name) for name in about} != about:
                raise StoreError(
                    f"{path} was built from other features than {gallery.path} holds now, or is of another kind. "
                    "Build it again: dsa-train search --overwrite."
                )
            if written.get("index") != digest_of(path):
                raise ValueError("its bytes are not those that were written")
            return read_index(path, kind, *gallery.shape)
        except StoreError:
            raise
        except Exception as error:  # readers raise anything for damaged files
            raise StoreError(
                f"{path} cannot be read ({reason(error)}). Build it again: dsa-train search --overwrite."
            ) from None
    index = build_index(gallery, kind)
    note.unlink(missing_ok=True)
    with atomic(path) as part:
        with part.open("wb") as file:
            disk = _Disk(file)
            faiss.write_index(index, faiss.PyCallbackIOWriter(disk.write))
        if disk.error:
            raise disk.error
        about["index"] = digest_of(part)
    write_atomic(note, (json.dumps(about, sort_keys=True) + "\n").encode())
    return index


class VisibleFile(VisibleRows):
    """A file of features with visibilities, as the vectors that an index of it holds."""

    def __init__(self, gallery: FeatureFile) -> None:
        super().__init__(gallery, gallery.origin.parts)
        self.path, self.identity = gallery.path, f"{gallery.identity} by visibility"


class _Disk:
    """A file that reports no error to FAISS, which turns it into one without a cause, but keeps the first one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Write all of `data`; after an error nothing is written."""
        with deferred():
            try:
                if not self.error:
                    self._file.write(data)
            except OSError as error:
                self.error = error
