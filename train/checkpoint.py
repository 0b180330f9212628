"""The checkpoint of a run: all that is needed to resume it exactly, in one file that contains no code."""

from __future__ import annotations

import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsa_app.config import setting_changes
from dsa_app.errors import CheckpointError
from dsa_app.wording import shown
from dsa_reid.atomic import atomic
from dsa_reid.guard import check_stored
from dsa_reid.guard import reason as reason_of

FORMAT, VERSION = "dsa-reid checkpoint", 1


def save(path: Path, state: dict[str, Any]) -> Path:
    """Write tensors and plain values to `path`, whole or not at all: a run killed here keeps its last checkpoint."""
    with atomic(path) as part, part.open("wb") as file:
        try:
            torch.save({"format": FORMAT, "version": VERSION, **state}, file)
        except RuntimeError as error:  # what torch raises when it cannot finish the file after a write failed
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
    return path


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: if it is missing, truncated, damaged, of another format or version, or contains anything but
            tensors and plain values, as code.
    """
    remedy = "Copy it again, or delete it and train again."
    if not path.exists():
        raise CheckpointError(f"{path} does not exist. Train first: dsa-train run.")
    try:
        with zipfile.ZipFile(path) as archive:
            check_stored(archive, path)
            damaged = archive.testzip()  # torch itself does not verify the checksums
        state = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is truncated, or not a checkpoint ({reason_of(error)}). {remedy}") from None
    except pickle.UnpicklingError:  # its own words advise to run what is in the file
        raise CheckpointError(
            f"{path} contains more than weights: it was refused, and no code in it was run. {remedy}"
        ) from None
    except Exception as error:  # torch raises many kinds for what it cannot read
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}). {remedy}") from None
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of {damaged} is wrong. {remedy}")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of a training. Use the checkpoint.pt of a run's folder.")
    if state.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has version {shown(state.get('version'))}, this program reads {VERSION}. Train again."
        )
    return state


def check_same(path: Path, made_with: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise CheckpointError, naming the settings that differ, unless the two configurations are the same."""
    different = setting_changes(made_with, wanted)
    if different:
        raise CheckpointError(
            f"{path} was written with another configuration: {different}.\n"
            "Resume it with its own settings, choose another folder with --out, or replace it with --overwrite."
        )


def random_states() -> dict[str, Any]:
    """Return the states of every generator of Python, NumPy and torch."""
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    inner = numpy["state"]
    return {
        "python": (version, list(words), gauss),
        "numpy": {**numpy, "state": {"key": torch.from_numpy(inner["key"].astype(np.int64)), "pos": inner["pos"]}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random(states: dict[str, Any]) -> None:
    """Set every generator to the state that `random_states` returned; those of GPUs if there are as many."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    numpy = dict(states["numpy"])
    numpy["state"] = {"key": numpy["state"]["key"].numpy().astype(np.uint32), "pos": numpy["state"]["pos"]}
    np.random.set_state(numpy)
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
