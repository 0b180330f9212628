"""Runs that are never lost: before a run of other settings takes a folder, the run in it is kept beside it.

`runs/demo` holds the run of the present settings; `runs/demo.kept/<digest>-<epochs>` those of earlier ones. Training
with settings whose run was kept moves it back instead of training again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dsa_app.errors import CheckpointError
from dsa_data.stores.header import digest_of
from dsa_reid.atomic import flush, make_folder

from . import checkpoint


def bring_in(out: Path, configuration: dict[str, Any], epochs: int) -> str:
    """Make `out` free for a run, or move the kept run of these settings into it; return what was done, in words.

    Args:
        out: the folder of the run, of which the caller holds the lock.
        configuration: of the run that is wanted, as its checkpoint has it.
        epochs: of the run that is wanted.

    A run of the same configuration and at most as many epochs stays where it is: it is resumed.
    """
    wanted = _kept_folder(out, configuration, epochs)
    present = _read(out)
    if present is not None and present["configuration"] == configuration:
        trained = present["epoch"]
        if trained == epochs or (trained < epochs and not wanted.is_dir()):
            return ""
    moved = []
    if present is not None:
        kept = _kept_folder(out, present["configuration"], present["epoch"])
        if kept != wanted and not kept.exists():
            make_folder(kept.parent)
            _move(out, kept)
            moved.append(f"the run of other settings in {out} is kept as {kept}")
    if wanted.is_dir() and not out.exists():
        _move(wanted, out)
        moved.append(f"the run of these settings, kept as {wanted}, is in {out} again")
    return "; ".join(moved)


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
