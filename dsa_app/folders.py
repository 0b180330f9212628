"""Folders as outputs: a new one takes the place of the old one whole, and nothing of either stays behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dsa_reid.atomic import flush, flush_all


def replaced(out: Path) -> Path:
    """Return where the old folder is while a new one takes its place."""
    return out.with_name(f".{out.name}.replaced")


def put_in_place(part: Path, out: Path) -> None:
    """Move the folder `part`, flushed to the disk, to `out`, whose lock the caller holds; an old one there is deleted.

    A killed call leaves either folder whole at `out` after `tidy`.
    """
    flush_all(part)
    if out.exists():
        shutil.rmtree(replaced(out), ignore_errors=True)
        os.replace(out, replaced(out))
    os.replace(part, out)
    flush(out.parent)
    shutil.rmtree(replaced(out), ignore_errors=True)


def tidy(out: Path) -> None:
    """Finish what a killed `put_in_place` left: the old folder is deleted, or moved back if no new one came."""
    if not replaced(out).is_dir():
        return
    if out.exists():
        shutil.rmtree(replaced(out), ignore_errors=True)
    else:
        os.replace(replaced(out), out)
        flush(out.parent)
