"""Runs that are never lost: before a run of other settings takes a folder, the run in it is kept beside it.

`runs/demo` holds the run of the present settings; `runs/demo.kept/<digest>-<epochs>` those of earlier ones. Training
with settings whose run was kept moves it back instead of training again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dsa_app.errors import CheckpointError
from dsa_data.stores.header import digest_of
from dsa_reid.atomic import flush, make_folder

from . import checkpoint


@contextmanager
def brought_in(out: Path, wanted: tuple[dict[str, Any], int] | None) -> Iterator[None]:
    """Make `out` free for a run, or move the kept run of its settings into it, and print what was done.

    If the work in the context ends before its first checkpoint, a run that was moved out of `out` is moved back.

    Args:
        out: the folder of the run, of which the caller holds the lock.
        wanted: configuration, as its checkpoint has it, and epochs of the run that is wanted; None to move nothing.

    A run of the same configuration and at most as many epochs stays where it is: it is resumed.
    """
    moved, kept = _bring_in(out, *wanted) if wanted else ("", None)
    if moved:
        click.echo(f"{moved}. Delete what is not needed.", err=True)
    try:
        yield
    except BaseException:
        if kept is not None and not (out / "checkpoint.pt").exists():
            _move_back(kept, out)
        raise


def _bring_in(out: Path, configuration: dict[str, Any], epochs: int) -> tuple[str, Path | None]:
    """Return what was moved, in words, and where the run in `out` is kept now, if it was moved."""
    wanted = _kept_folder(out, configuration, epochs)
    present = _read(out)
    if present is not None and present["configuration"] == configuration:
        trained = present["epoch"]
        if trained == epochs or (trained < epochs and not wanted.is_dir()):
            return "", None
    moved, aside = [], None
    if present is not None:
        kept = _kept_folder(out, present["configuration"], present["epoch"])
        if kept != wanted and not kept.exists():
            make_folder(kept.parent)
            _move(out, kept)
            aside = kept
            moved.append(f"the run of other settings in {out} is kept as {kept}")
    if wanted.is_dir() and not out.exists():
        _move(wanted, out)
        moved.append(f"the run of these settings, kept as {wanted}, is in {out} again")
    return "; ".join(moved), aside


def _move_back(kept: Path, out: Path) -> None:
    """Move a kept run back to its folder, unless that has more in it than the logs of an unfinished first epoch."""
    shutil.rmtree(out / "live", ignore_errors=True)
    if out.exists():
        if any(out.iterdir()):
            return
        out.rmdir()
    _move(kept, out)
    click.echo(f"The earlier run is back in {out}: the new run ended before its first checkpoint", err=True)


def _move(folder: Path, place: Path) -> None:
    os.replace(folder, place)
    flush(place.parent)
    flush(folder.parent)


def _kept_folder(out: Path, configuration: dict[str, Any], epochs: int) -> Path:
    digest = digest_of([json.dumps(configuration, sort_keys=True)])
    return out.with_name(out.name + ".kept") / f"{digest[:16]}-{epochs}"


def _read(out: Path) -> dict[str, Any] | None:
    """Return the checkpoint of the run in a folder; None if there is none that can be read."""
    try:
        return checkpoint.load(out / "checkpoint.pt")
    except CheckpointError:
        return None
