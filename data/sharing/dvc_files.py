"""What DVC keeps about the pipeline: dvc.lock, stage by stage, and the folder of its cache.

Stages are taken out of dvc.lock and put into another as lines of text: read and written again as values, numbers such
as 1e-05 would come out in another form, and DVC would run the stages again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsa_app.config import parse_yaml
from dsa_app.errors import StoreError
from dsa_app.guard import guarded

from .archive import FOLDER

START = "schema: '2.0'\nstages:\n"  # of dvc.lock, as DVC writes it
STAGE = re.compile(r"^  (?=\S)", re.MULTILINE)
PROJECT = ("dvc.yaml", "params.yaml")  # with the file of the experiment, what decides the commands and their settings

Outputs = dict[str, str]  # MD5 by path


def stages(text: str, where: Path) -> dict[str, str]:
    """Return the lines of each stage in the text of a dvc.lock, by the stage's name.

    Raises StoreError unless it has the layout that DVC writes.
    """
    if not text:
        return {}
    remedy = "Delete it and run the pipeline again: dvc repro"
    with guarded(StoreError, where, "is not a dvc.lock as DVC writes it", remedy):
        if not text.startswith(START):
            raise ValueError(f"expected {START.splitlines()[0]}")
        found = {part.partition(":")[0]: f"  {part}" for part in STAGE.split(text[len(START) :]) if part}
        values = parse_yaml(text)["stages"] or {}
        if list(values) != list(found) or not all(_is_stage(lines, values[name]) for name, lines in found.items()):
            raise ValueError("its stages are not indented by two spaces")
    return {name: lines if lines.endswith("\n") else lines + "\n" for name, lines in found.items()}


def _is_stage(lines: str, value: Any) -> bool:
    (read,) = parse_yaml(lines).values()
    return isinstance(value, dict) and bool(read == value)


def joined(lines: Mapping[str, str]) -> str:
    """Return the text of a dvc.lock with these stages."""
    return START + "".join(lines.values())


def outputs(lines: str, where: Path) -> Outputs:
    """Return the MD5 of every output file of a stage, by path. Raises StoreError."""
    with guarded(StoreError, where, "is not a dvc.lock as DVC writes it", "Run the pipeline again: dvc repro"):
        (stage,) = parse_yaml(lines).values()
        return {str(out["path"]): str(out.get("md5", "")) for out in stage.get("outs") or []}


def of_dataset(lines: Mapping[str, str], dataset: str, where: Path) -> dict[str, str]:
    """Return those stages that have an output in the folder of a dataset."""
    folder = f"{FOLDER}/{dataset}/"
    return {name: text for name, text in lines.items() if any(path.startswith(folder) for path in outputs(text, where))}


def experiments(lines: Mapping[str, str], where: Path) -> list[str]:
    """Return the paths of the experiments' files that stages depend on."""
    found = set()
    for text in lines.values():
        with guarded(StoreError, where, "is not a dvc.lock as DVC writes it", "Run the pipeline again: dvc repro"):
            (stage,) = parse_yaml(text).values()
            found |= {str(dep["path"]) for dep in stage.get("deps") or []}
    return sorted(path for path in found if path.startswith("experiments/"))


def cache_folder() -> Path | None:
    """Return the folder of the working directory's DVC cache; None where DVC does not manage the directory."""
    if not Path(".dvc").is_dir():
        return None
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise StoreError(f"dvc cache dir: {last}. Check the DVC installation: dvc doctor")
    return Path(done.stdout.strip())


def cached(cache: Path, md5: str) -> Path:
    """Return where DVC 3 keeps a file of this MD5 in its cache."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]
