"""`settings.json` in a run's folder: which settings made its model.pt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsa_data.stores.dsap import DsapStore
from dsa_reid.atomic import write_atomic
from dsa_reid.model import digest_of

from .result_settings import Values, are_values, of_training

FILE = "settings.json"
FORMAT, VERSION = "dsa-reid settings", 1


class RunSettings(NamedTuple):
    """What a model was made with.

    Args:
        values: settings that differ from the paper's, by their name for --set.
        manifest: SHA-256 of the manifest of its training images.
    """

    values: Values
    manifest: str


def write(run: Path, train: Mapping[str, Any], store: DsapStore | None, manifest: Path) -> Path:
    """Write which settings made the model.pt of a run; return the file. It holds no time, and one path: weights'.

    Args:
        run: the folder of the finished run.
        train: section "train" as plain values, with its epochs.
        store: of the part images, or of the labels of regions; None for a training that needs neither.
        manifest: of the training images.
    """
    made_with = store.header.configuration if store else {}
    warp = made_with.get("warp") if train["network"]["guide"] else None  # no part image is shown without a guide
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": digest_of(run / "model.pt"),
        "manifest": manifest_digest(manifest),
        "maps": made_with.get("maps"),
        "values": of_training(train, warp, (made_with.get("maps") or {}).get("errors")),
    }
    return write_atomic(run / FILE, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read(source: Path) -> RunSettings | None:
    """Return what made a model; None if it is not known.

    Args:
        source: a run's folder, or its model.pt. Settings of another model are none.
    """
    model = source if source.is_file() else source / "model.pt"
    try:
        content = json.loads(model.with_name(FILE).read_text(encoding="utf-8"))
        if (content["format"], content["version"], content["model"]) != (FORMAT, VERSION, digest_of(model)):
            return None
        values, manifest = content["values"], content["manifest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return RunSettings(values, manifest) if are_values(values) and isinstance(manifest, str) else None


def manifest_digest(manifest: Path) -> str:
    """Return the SHA-256 of a manifest: it lists the digest of every image, so that other images have another."""
    return hashlib.sha256(manifest.read_bytes()).hexdigest()
