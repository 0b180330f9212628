"""Renders the synthetic dataset, and writes it in Market-1501's layout.

With the images it has their true I, U, V (`iuv/<folder>/<stem>_IUV.png`), the settings (`synth.json`), and a table of
what each image shows (`scenes.csv`: identity, camera, view, crop, twin).
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from dsa_app.config import build, setting_changes, to_dict
from dsa_app.console import progress
from dsa_app.errors import BusyError, DatasetError
from dsa_app.folders import put_in_place, replaced, tidy
from dsa_app.guard import guarded
from dsa_app.lock import delete_left_lock, locked
from dsa_app.parallel import carry_out
from dsa_app.wording import shown
from dsa_reid.atomic import resolved, write_atomic

from ..images import encode_jpeg, encode_png
from ..sets.rendered import NOTE
from .config import SynthConfig
from .people import Person
from .render import render
from .shots import QUERY, TEST, TRAIN, Shot, person_of, plan, scene_of, twin_of

SCENES, DONE = "scenes.csv", ".done"
FORMAT = {"format": "synthetic dataset of dsa-reid", "version": 2}  # raised when the same settings render other images


def synthesise(settings: SynthConfig, root: Path, jobs: int = 1, overwrite: bool = False) -> Path:
    """Render the dataset to the folder `root` and return it. The same settings give the same bytes, whatever `jobs`.

    The images are written to `<root>.part`, which is renamed when all are there. A call that was killed is resumed by
    the next. A dataset that was rendered with the same settings is left as it is.

    Raises:
        DatasetError: if `root` is another dataset, or, without `overwrite`, one that was rendered with other settings.
        BusyError: if another process is rendering it.
    """
    note = FORMAT | {"settings": _written(settings)}
    target = resolved(root)
    part = target.with_name(target.name + ".part")
    if _is_complete(root, note, overwrite):
        _delete_leftovers(target)
        return root
    with locked(target, f"Another process is rendering {root}. Wait for it, or stop it."):
        tidy(target)  # of a call that was killed just before it ended
        if not _is_complete(root, note, overwrite):
            (part / DONE).mkdir(parents=True, exist_ok=True)
            _begin(part, note, overwrite)
            _render_all(settings, part, jobs)
            _delete_others(settings, part)
            _write_scenes(settings, part / SCENES)
            shutil.copyfile(part / DONE / NOTE, part / NOTE)
            put_in_place(part, target)
        shutil.rmtree(target / DONE, ignore_errors=True)
    return root


def _written(settings: SynthConfig) -> dict[str, Any]:
    """Return settings as plain values; of a later one its default is left out, as datasets from before it have none."""
    values = to_dict(settings)
    return {name: value for name, value in values.items() if name != "clothes" or value != 1}


def _delete_leftovers(root: Path) -> None:
    """Delete what a call left that was killed when the dataset was complete."""
    if not (root / DONE).exists() and not replaced(root).exists():
        delete_left_lock(root)
        return
    with suppress(BusyError, OSError), locked(root, "held"):
        tidy(root)
        shutil.rmtree(root / DONE)


def read_settings(root: Path) -> SynthConfig:
    """Return the settings that the dataset at `root` was rendered with.

    Raises DatasetError if it is not a synthetic dataset, or one of another version, which renders other images.
    """
    note = _read_note(root / NOTE)
    if note is None:
        raise DatasetError(
            f"{root} is not a synthetic dataset, so its true I, U, V are unknown. "
            "Use a synthetic one: --dataset synthetic."
        )
    if note.get("version") != FORMAT["version"]:
        raise DatasetError(
            f"{root} has version {shown(note.get('version'))}, this program reads {FORMAT['version']}. "
            "Render it again: dsa-data synth --overwrite"
        )
    settings = note.get("settings")
    if not isinstance(settings, dict):
        raise DatasetError(f"{root / NOTE} has no settings. Render the dataset again: dsa-data synth --overwrite")
    return build(SynthConfig, settings, str(root / NOTE))


def read_views(root: Path, keys: Sequence[str]) -> np.ndarray:
    """Return the view of each image in degrees (N,): 0 from the front, 90 from the person's right.

    Raises DatasetError if the dataset at `root` is not a synthetic one, or does not contain a key.
    """
    path = root / SCENES
    if not path.exists():
        raise DatasetError(
            f"{path} does not exist: views are known only for a synthetic dataset. Use one: --dataset synthetic."
        )
    remedy = "Render the dataset again: dsa-data synth --overwrite"
    with (
        guarded(DatasetError, path, "is not the table of a synthetic dataset", remedy),
        path.open(newline="", encoding="utf-8") as file,
    ):
        views = {row["key"]: float(row["view_degrees"]) for row in csv.DictReader(file)}
    if lacking := [key for key in keys if key not in views]:
        raise DatasetError(f"{path} has no view for {shown(lacking[0])}. {remedy}")
    return np.array([views[key] for key in keys])


def _render_all(settings: SynthConfig, part: Path, jobs: int) -> None:
    for folder in (TRAIN, QUERY, TEST):
        (part / folder).mkdir(exist_ok=True)
        (part / "iuv" / folder).mkdir(parents=True, exist_ok=True)
    groups = plan(settings)
    marks = [part / DONE / str(index) for index in range(len(groups))]
    missing = [(shots, mark) for shots, mark in zip(groups, marks, strict=True) if not _is_rendered(part, shots, mark)]
    render_group: Callable[..., int] = joblib.delayed(_render_group)
    tasks = (render_group(settings, shots, part, mark) for shots, mark in missing)
    rendered = carry_out(tasks, jobs, ordered=False)
    for _ in progress(rendered, len(missing), "rendering", unit="identities"):
        pass


def _is_rendered(part: Path, shots: Sequence[Shot], mark: Path) -> bool:
    """Return whether the images and maps of a group are those that were there when its mark was written."""
    try:
        return mark.read_text() == _digest(part, shots)
    except (OSError, ValueError):
        return False


def _digest(part: Path, shots: Sequence[Shot]) -> str:
    """Return the SHA-256 of the note, and of the images and maps of a group."""
    digest = hashlib.sha256((part / DONE / NOTE).read_bytes())
    for shot in shots:
        digest.update((part / shot.key).read_bytes() + (part / shot.iuv).read_bytes())
    return digest.hexdigest()


def _render_group(settings: SynthConfig, shots: list[Shot], part: Path, mark: Path) -> int:
    """Write the images and maps of a group, then the file `mark` with their digest; return the number of images."""
    persons: dict[tuple[int, int, int], Person] = {}
    for shot in shots:
        identity = (shot.group, shot.number, shot.clothes)
        if identity not in persons:
            persons[identity] = person_of(settings, *identity)
        image, iuv = render(scene_of(settings, shot, persons[identity]))
        (part / shot.key).write_bytes(encode_jpeg(image, settings.quality))
        (part / shot.iuv).write_bytes(encode_png(iuv, level=1))
    mark.write_text(_digest(part, shots))
    return len(shots)


def _delete_others(settings: SynthConfig, part: Path) -> None:
    """Delete images and maps of other settings, which `_begin` had deleted just before a power cut."""
    planned = {name for group in plan(settings) for shot in group for name in (shot.key, shot.iuv)}
    for folder in (TRAIN, QUERY, TEST):
        for path in (*(part / folder).iterdir(), *(part / "iuv" / folder).iterdir()):
            if path.relative_to(part).as_posix() not in planned:
                path.unlink()


def _write_scenes(settings: SynthConfig, path: Path) -> None:
    shots = sorted((shot for group in plan(settings) for shot in group), key=lambda shot: shot.key)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        dressed = settings.clothes > 1
        table.writerow(["key", "pid", "camid", "view_degrees", "crop", "twin", *["clothes"] * dressed])
        for shot in shots:
            twin = twin_of(settings, shot.group, shot.number) if shot.pid > 0 else None
            twin_pid = "" if twin is None else shot.pid + twin - shot.number
            view = round(math.degrees(shot.turn), 1)
            table.writerow([shot.key, shot.pid, shot.camid, view, shot.crop, twin_pid, *[shot.clothes] * dressed])


def _is_complete(root: Path, note: dict[str, Any], overwrite: bool) -> bool:
    """Return whether `root` is the complete dataset of `note`. Raises DatasetError if it must not be replaced."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    made_with = _read_note(root / NOTE)
    if made_with is None:
        raise DatasetError(f"{root} is neither empty nor a synthetic dataset. Use another folder, or move its content.")
    if made_with == note:
        return True
    if not overwrite:
        raise DatasetError(
            f"{root} was rendered with other settings: {setting_changes(made_with, note)}.\n"
            "Render it again: dsa-data synth --overwrite"
        )
    return False


def _begin(part: Path, note: dict[str, Any], overwrite: bool) -> None:
    """Keep what `part` has if its settings are `note`; else delete it, or without `overwrite` raise DatasetError."""
    made_with = _read_note(part / DONE / NOTE)
    if made_with == note:
        return
    if made_with is not None and not overwrite:
        raise DatasetError(
            f"{part} was begun with other settings: {setting_changes(made_with, note)}.\n"
            "Finish it with those settings, or start again: dsa-data synth --overwrite"
        )
    for mark in (part / DONE).iterdir():
        mark.unlink()
    for folder in (TRAIN, QUERY, TEST, "iuv"):
        shutil.rmtree(part / folder, ignore_errors=True)
    write_atomic(part / DONE / NOTE, (json.dumps(note, indent=2, sort_keys=True) + "\n").encode())


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and note.get("format") == FORMAT["format"] else None
