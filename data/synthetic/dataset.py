"""The synthetic dataset: who is drawn, seen by which camera from where; written in Market-1501's layout.

Beside the pictures lie their true I, U, V (`iuv/<folder>/<stem>_IUV.png`), the settings (`synth.json`) and what
each picture shows (`scenes.csv`: camera, view, twin).
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from dsa_app.config import build, to_dict
from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_app.lock import locked

from ..images import encode_jpeg, encode_png
from ..stores.pieces import differences
from .people import Person
from .render import render
from .shots import QUERY, TEST, TRAIN, Shot, SynthConfig, person_of, plan, scene_of, twin_of

NOTE, SCENES, DONE = "synth.json", "scenes.csv", ".done"
FORMAT = {"format": "synthetic dataset of dsa-reid", "version": 2}  # another one where the same settings draw otherwise


def synthesise(settings: SynthConfig, root: Path, jobs: int = 1, overwrite: bool = False) -> Path:
    """Draw the dataset under `root` and return it; the same settings give the same bytes, whatever `jobs`.

    The pictures are made in `<root>.part`, which takes the root's place when all are there. Killed, it goes on where
    it was. A dataset drawn with the same settings is left as it is.

    Raises:
        DatasetError: if `root` holds something else, or a dataset drawn with other settings and `overwrite` is not set.
        BusyError: if another process is drawing it.
    """
    note = FORMAT | {"settings": to_dict(settings)}
    part = root.with_name(root.name + ".part")
    if not _is_drawn(root, note, overwrite):
        with locked(root, f"Another process is rendering {root} now. Wait for it, or stop it."):
            (part / DONE).mkdir(parents=True, exist_ok=True)
            _begin(part, note, overwrite)
            _draw_all(settings, part, jobs)
            _write_scenes(settings, part / SCENES)
            shutil.copyfile(part / DONE / NOTE, part / NOTE)
            _put_in_place(part, root)
    shutil.rmtree(root / DONE, ignore_errors=True)
    return root


def read_settings(root: Path) -> SynthConfig:
    """Return what the dataset at `root` was drawn with.

    Raises DatasetError if it was not drawn, or by another version, whose people looked otherwise.
    """
    note = _read_note(root / NOTE)
    if note is None:
        raise DatasetError(
            f"{root} was not drawn by dsa-data synth, and of photographs nobody knows the truth. "
            "Name a drawn dataset: --dataset synthetic."
        )
    if note.get("version") != FORMAT["version"]:
        raise DatasetError(
            f"{root} is of version {note.get('version')}, this is {FORMAT['version']}. "
            "Draw it again: dsa-data synth --overwrite"
        )
    return build(SynthConfig, note.get("settings"), str(root / NOTE))


def read_views(root: Path, keys: Sequence[str]) -> np.ndarray:
    """Return from which side each picture shows its person: degrees (N,), 0 from the front, 90 from the person's right.

    Raises DatasetError if the dataset at `root` was not drawn, or does not know a key.
    """
    path = root / SCENES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            views = {row["key"]: float(row["view_degrees"]) for row in csv.DictReader(file)}
        return np.array([views[key] for key in keys])
    except FileNotFoundError:
        raise DatasetError(
            f"{path} does not exist: only of a drawn dataset is it known from which side people are seen. "
            "Name one: --dataset synthetic."
        ) from None
    except (KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} does not tell the view of {error}. Draw it again: dsa-data synth --overwrite"
        ) from None


def _draw_all(settings: SynthConfig, part: Path, jobs: int) -> None:
    for folder in (TRAIN, QUERY, TEST):
        (part / folder).mkdir(exist_ok=True)
        (part / "iuv" / folder).mkdir(parents=True, exist_ok=True)
    groups = plan(settings)
    missing = [(name, shots) for name, shots in enumerate(groups) if not (part / DONE / str(name)).exists()]
    work: Callable[..., int] = joblib.delayed(_draw_group)
    done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        work(settings, shots, part, part / DONE / str(name)) for name, shots in missing
    )
    for _ in progress(done, len(missing), "drawing", unit="identities"):
        pass


def _draw_group(settings: SynthConfig, shots: list[Shot], part: Path, done: Path) -> int:
    drawn: dict[tuple[int, int], Person] = {}
    for shot in shots:
        whose = (shot.group, shot.number)
        if whose not in drawn:
            drawn[whose] = person_of(settings, *whose)
        picture, iuv = render(scene_of(settings, shot, drawn[whose]))
        (part / shot.key).write_bytes(encode_jpeg(picture, settings.quality))
        (part / shot.iuv).write_bytes(encode_png(iuv, level=1))
    done.touch()
    return len(shots)


def _write_scenes(settings: SynthConfig, path: Path) -> None:
    shots = sorted((shot for group in plan(settings) for shot in group), key=lambda shot: shot.key)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "pid", "camid", "view_degrees", "crop", "twin"])
        for shot in shots:
            twin = twin_of(settings, shot.group, shot.number) if shot.pid > 0 else None
            twin_pid = "" if twin is None else shot.pid + twin - shot.number
            view = round(math.degrees(shot.turn), 1)
            table.writerow([shot.key, shot.pid, shot.camid, view, shot.crop, twin_pid])


def _is_drawn(root: Path, note: dict[str, Any], overwrite: bool) -> bool:
    """Tell whether `root` is what `note` says, complete. Raises DatasetError if it is another thing."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    found = _read_note(root / NOTE)
    if found is None:
        raise DatasetError(f"{root} holds what dsa-data synth did not draw. Name another folder, or move that away.")
    if found == note:
        return True
    if not overwrite:
        raise DatasetError(
            f"{root} was drawn with other settings: {differences(found, note)}.\n"
            "Draw it again: dsa-data synth --overwrite"
        )
    return False


def _begin(part: Path, note: dict[str, Any], overwrite: bool) -> None:
    """Go on in `part` if it was begun with the same settings; else begin anew or, without leave, refuse."""
    found = _read_note(part / DONE / NOTE)
    if found == note:
        return
    if found is not None and not overwrite:
        raise DatasetError(
            f"{part} was begun with other settings: {differences(found, note)}.\n"
            "Finish it with those, or begin anew: dsa-data synth --overwrite"
        )
    for mark in (part / DONE).iterdir():
        if mark.name != "lock":
            mark.unlink()
    for folder in (TRAIN, QUERY, TEST, "iuv"):
        shutil.rmtree(part / folder, ignore_errors=True)
    new = part / DONE / (NOTE + ".new")
    new.write_text(json.dumps(note, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(part / DONE / NOTE)


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT["format"] else None


def _put_in_place(part: Path, root: Path) -> None:
    old = root.with_name(root.name + ".old")
    if root.exists():
        shutil.rmtree(old, ignore_errors=True)  # what a run killed in this place left
        os.replace(root, old)
    os.replace(part, root)
    shutil.rmtree(old, ignore_errors=True)
