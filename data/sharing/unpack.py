"""Unpacking of an archive of `dsa-data pack`: every file verified before the first one is put in place."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from dsa_app.console import artifacts
from dsa_app.errors import DsaError, StoreError
from dsa_app.lock import locked
from dsa_app.wording import counted
from dsa_reid.atomic import atomic, flush, resolved, write_atomic

from ..stores.in_use import check_not_in_use
from . import dvc_files
from .archive import FOLDER, LOCK, Digests, Index, Packed, carry_out, hashed, opened, reading, sha256_of, text

SUFFIX = ".unpacked"  # of a file that is complete and verified, and not yet in place


def unpack(path: Path, overwrite: bool = False) -> tuple[Index, list[Path]]:
    """Put the files of an archive into the working directory's clone; return its index and the files that are new.

    Files are written beside their places and verified; all are renamed after the last one. dvc.lock comes last: its
    stages about the dataset are added to those that are there. A killed call is resumed by the next.

    Args:
        overwrite: replace files, and stages of dvc.lock, that differ.

    Raises:
        StoreError: if the archive is damaged, or a file differs, or is missing in an archive of changes.
    """
    with opened(path) as (archive, index):
        files = [file for file in index.files if file.path != LOCK]
        targets = {file: _target(file, index.dataset) for file in files}
        new = _to_write(targets, path, overwrite)
        lock_text = _lock_text(archive, index, path, overwrite)
        staged = _stage(archive, {file: targets[file] for file in new}, path)
    _place(staged)
    cached = [file for file in files if file.cached]
    _fill_cache({file: targets[file] for file in cached})
    written = list(staged.values())
    if lock_text is not None:
        written.append(write_atomic(Path(LOCK), lock_text.encode()))
    return index, written


def project_differences(index: Index) -> list[str]:
    """Return the files that set up the pipeline and are not those with which the archive was packed."""
    return [
        name
        for name, digest in index.project.items()
        if (name in dvc_files.PROJECT or _is_experiment(name))
        and (not Path(name).is_file() or sha256_of(Path(name)) != digest)
    ]


def _is_experiment(name: str) -> bool:
    return name.startswith("experiments/") and ".." not in name.split("/")


def _target(file: Packed, dataset: str) -> Path:
    """Return where a file of an archive belongs, in the folder of the dataset; where a link leads, if it is one."""
    return resolved(artifacts(dataset) / file.path.removeprefix(f"{FOLDER}/{dataset}/"))


def _to_write(targets: dict[Packed, Path], path: Path, overwrite: bool) -> list[Packed]:
    """Return the files that are not there yet. Raises StoreError for one that differs, or that no archive brings."""
    there = [(file, target) for file, target in targets.items() if target.exists() or target.is_symlink()]
    same: set[Packed] = set()

    def compared() -> Iterator[bytes]:
        for file, target in there:
            if target.is_file() and target.stat().st_size == file.size:
                with target.open("rb") as there_file:
                    yield from hashed(there_file, found := Digests())
                if found.of(file):
                    same.add(file)

    carry_out(compared(), sum(file.size for file, _ in there), "comparing")
    missing = [file for file in targets if not file.here and file not in same]
    if missing:
        raise StoreError(
            f"{path} has only what changed since an earlier archive, and {targets[missing[0]]} is not the file of that "
            "one. Unpack the earlier archive first: dsa-data unpack ARCHIVE"
        )
    different = [target for file, target in there if file not in same]
    if different and not overwrite:
        more = f" and {counted(len(different) - 1, 'other file')}" if len(different) > 1 else ""
        raise StoreError(
            f"{different[0]}{more} differs from the archive's. Move it away, or replace it: dsa-data unpack ARCHIVE "
            "--overwrite"
        )
    for target in different:
        if target.is_dir():
            raise StoreError(f"{target} is a folder, in the archive it is a file. Move the folder away.")
        if target.suffix == ".h5":
            check_not_in_use(target)
    return [file for file in targets if file not in same]


def _lock_text(archive: zipfile.ZipFile, index: Index, path: Path, overwrite: bool) -> str | None:
    """Return the new text of dvc.lock, None if it stays. Raises StoreError if it names other files for a stage."""
    if not any(file.path == LOCK and file.here for file in index.files):
        return None
    with reading(path):
        data = text(archive, LOCK)
        (file,) = [one for one in index.files if one.path == LOCK]
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise ValueError(f"{LOCK} has another digest than its index says")
        packed = dvc_files.stages(data.decode(), path)
    own = Path(LOCK)
    stages = dvc_files.stages(own.read_text(encoding="utf-8") if own.is_file() else "", own)
    different = [name for name, lines in packed.items() if stages.get(name, lines) != lines]
    if different and not overwrite:
        raise StoreError(
            f"{own} has the stage {different[0]} with other settings or files than the archive's. Keep it, or replace "
            "its stages: dsa-data unpack ARCHIVE --overwrite"
        )
    return dvc_files.joined(stages | packed) if stages | packed != stages else None


def _stage(archive: zipfile.ZipFile, targets: dict[Packed, Path], path: Path) -> dict[Path, Path]:
    """Write files beside their places, verified; return the places by the files written.

    If the archive turns out to be damaged, nothing is left. If the call is killed, complete files stay for the next.
    """
    staged = {target.with_name(target.name + SUFFIX): target for target in targets.values()}

    def written() -> Iterator[bytes]:
        for file, target in targets.items():
            yield from _extracted(archive, file, target.with_name(target.name + SUFFIX))

    try:
        with reading(path):
            carry_out(written(), sum(file.size for file in targets), "unpacking")
    except DsaError:
        for part in staged:
            part.unlink(missing_ok=True)
        raise
    return staged


def _extracted(archive: zipfile.ZipFile, file: Packed, part: Path) -> Iterator[bytes]:
    """Write a file of an archive to `part`, unless it is there; yield its blocks. Raises ValueError for other bytes."""
    if part.is_file() and part.stat().st_size == file.size:
        with part.open("rb") as left:
            yield from hashed(left, found := Digests())
        if found.of(file):
            return
    found = Digests()
    with atomic(part) as unfinished:
        with archive.open(file.path) as source, unfinished.open("wb") as target:
            for block in hashed(source, found):
                target.write(block)
                yield block
        if not found.of(file):
            raise ValueError(f"{file.path} has another digest than its index says")


def _place(staged: dict[Path, Path]) -> None:
    """Rename files to their places, all of them locked."""
    with ExitStack() as locks:
        for target in staged.values():
            busy = f"Another process is writing {target}. Wait for it, then run the same command again."
            locks.enter_context(locked(target, busy))
        for part, target in staged.items():
            os.replace(part, target)
    for folder in {target.parent for target in staged.values()}:
        flush(folder)


def _fill_cache(targets: dict[Packed, Path]) -> None:
    """Copy files into DVC's cache, without which it would count their stages as changed."""
    cache = dvc_files.cache_folder() if targets else None
    if cache is None:
        return
    for file, target in targets.items():
        place = dvc_files.cached(cache, file.md5)
        if not place.is_file():
            with atomic(place) as part:
                shutil.copyfile(target, part)
                part.chmod(0o444)  # as DVC protects them
