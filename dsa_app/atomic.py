"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path, tag: str = "part") -> Iterator[Path]:
    """Give a name beside `path` to write to; what was written there takes the place of `path` at the end.

    An error leaves `path` as it was, and nothing beside it. That of a full disk does not know its file: it is told.

    Args:
        tag: ends the other name; processes that may write one file at a time need one each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{tag}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # so that a rename is never ahead of its content
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
