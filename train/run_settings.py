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
        experiment: the name of the run; empty for one of an earlier version.
        maps: where the maps of its training images came from, in words; empty for a training without maps.
        store: digest of the part images and labels of regions it was trained on; empty without them. Of an earlier
            version, which did not say it: the SHA-256 of the model.
    """

    values: Values
    manifest: str
    experiment: str = ""
    maps: str = ""
    store: str = ""


def write(
    run: Path, train: Mapping[str, Any], store: DsapStore | None, manifest: Path, experiment: str, stored: str
) -> Path:
    """Write which settings made the model.pt of a run; return the file. It holds no time, and one path: weights'.

    Args:
        run: the folder of the finished run.
        train: section "train" as plain values, with its epochs.
        store: of the part images, or of the labels of regions; None for a training that needs neither.
        manifest: of the training images.
        experiment: the name of the run.
        stored: digest of the part images and labels that the network was trained on; empty without them.
    """
    made_with = store.header.configuration if store else {}
    warp = made_with.get("warp") if train["network"]["guide"] else None  # no part image is shown without a guide
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": digest_of(run / "model.pt"),
        "manifest": manifest_digest(manifest),
        "experiment": experiment,
        "maps": made_with.get("maps"),
        "store": stored,
        "values": of_training(train, warp, made_with.get("maps")),
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
        values, manifest, maps = content["values"], content["manifest"], content.get("maps") or {}
        store = content.get("store", content["model"] if maps else "")
        texts = manifest, content.get("experiment", ""), maps_in_words(maps), store
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = are_values(values) and all(isinstance(text, str) for text in texts)
    return RunSettings(values, *texts) if known else None


def experiment_of(source: Path) -> str:
    """Return the name of the run that a folder or a model file is of: as it says, else by its place in `runs`."""
    made = read(source)
    if made is not None and made.experiment:
        return made.experiment
    folder = source if source.is_dir() else source.parent
    *_, runs = [-1, *(place for place, name in enumerate(folder.parts) if name == "runs")]
    names = folder.parts[runs + 1 :] if runs >= 0 else ()
    if not names:
        return source.stem
    kept = [place for place, name in enumerate(names) if name.endswith(".kept")]
    return "/".join(names[: kept[0] + 1] if kept else names).removesuffix(".kept")


def maps_in_words(maps: Mapping[str, Any]) -> str:
    """Return where maps came from: "native R_50_FPN_s1x", "import"; empty without maps.

    Args:
        maps: the configuration of their store.
    """
    names = [str(maps[name]) for name in ("engine", "model") if isinstance(maps.get(name), str | int)]
    if isinstance(bits := maps.get("bits"), int):
        names.append(f"{bits} bits" if bits else "I alone")
    return " ".join(names)


def manifest_digest(manifest: Path) -> str:
    """Return the SHA-256 of a manifest: it lists the digest of every image, so that other images have another."""
    return hashlib.sha256(manifest.read_bytes()).hexdigest()
