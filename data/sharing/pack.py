"""Packing of a dataset's maps and part images into one archive, whole or what has changed since an earlier one."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from dsa_app.console import artifacts
from dsa_app.errors import ConfigError, DatasetError, StoreError
from dsa_reid.atomic import atomic

from .. import sets
from ..listing import PROTOCOLS
from ..stores.in_use import check_not_in_use
from . import dvc_files
from .archive import FOLDER, INDEX, LOCK, Digests, Index, Packed, carry_out, hashed, opened, sha256_of

STAGES_FILES = ("manifest.csv", "iuv.h5", "iuv.skipped.csv", "dsap.h5")
DATE = (1980, 1, 1, 0, 0, 0)  # of every file, the first that a zip can state: the same files give the same archive
MODE = 0o100644 << 16  # a plain file, rw-r--r--


def pack(dataset: str, out: Path, since: Path | None = None) -> Index:
    """Write the archive of a dataset's stage files to `out`, whole or not at all; return its index.

    It holds the manifests, the maps, the part images, and the outputs of this dataset that dvc.lock names, with the
    part of dvc.lock that is about them.

    Args:
        since: an earlier archive; files that it lists with the same digest are listed, and their bytes left out.

    Raises:
        DatasetError: if there are neither maps nor part images.
        StoreError: if a file is being written, or changes while it is packed, or `since` is of another dataset.
    """
    if since is not None and since.resolve() == out.resolve():
        raise ConfigError(f"--out and --since are both {out}. Write the new archive to another file: --out FILE")
    lock = Path(LOCK)
    all_stages = dvc_files.stages(lock.read_text(encoding="utf-8") if lock.is_file() else "", lock)
    stages = dvc_files.of_dataset(all_stages, dataset, lock)
    outputs = {path: md5 for text in stages.values() for path, md5 in dvc_files.outputs(text, lock).items()}
    sources = _sources(dataset, outputs)
    listed = _listed(sources)
    lock_text = dvc_files.joined(stages).encode() if stages else b""
    if lock_text:
        listed.append(_small(LOCK, lock_text))
    _note_what_dvc_misses(dataset, all_stages, outputs, listed)
    if since is not None:
        listed = _changed(listed, since, dataset)
    index = Index(dataset, tuple(sorted(listed, key=lambda file: file.path)), _project(stages))
    _write(out, index, sources, lock_text)
    return index


def _sources(dataset: str, outputs: dvc_files.Outputs) -> dict[str, Path]:
    """Return the files to pack by their paths in the archive."""
    folder = artifacts(dataset)
    names = [*STAGES_FILES, *(f"{PROTOCOLS}/{path.name}" for path in sorted((folder / PROTOCOLS).glob("*.csv")))]
    prefix = f"{FOLDER}/{dataset}/"
    names += [path.removeprefix(prefix) for path in outputs if path.startswith(prefix)]
    found = {prefix + name: folder / name for name in names if (folder / name).is_file()}
    if not {prefix + "iuv.h5", prefix + "dsap.h5"} & found.keys():
        sets.dataset(dataset)  # of a name that is not known, no command makes maps
        raise DatasetError(f"{folder} has no maps and no part images. Make the maps first: densepose-extract run.")
    for path in found.values():
        if path.suffix == ".h5":
            check_not_in_use(path)
    return found


def _listed(sources: dict[str, Path]) -> list[Packed]:
    """Return the files with size, digests, and whether DVC's cache holds them."""
    sizes = {name: path.stat().st_size for name, path in sources.items()}
    cache = dvc_files.cache_folder()
    listed = []

    def read() -> Iterator[bytes]:
        for name, path in sources.items():
            with path.open("rb") as file:
                yield from hashed(file, found := Digests())
            known = cache is not None and dvc_files.cached(cache, found.md5).is_file()
            listed.append(Packed(name, sizes[name], found.sha256, found.md5, cached=known, here=True))

    carry_out(read(), sum(sizes.values()), "reading")
    return listed


def _small(path: str, data: bytes) -> Packed:
    found = Digests()
    found.update(data)
    return Packed(path, len(data), found.sha256, found.md5, cached=False, here=True)


def _note_what_dvc_misses(
    dataset: str, all_stages: dict[str, str], outputs: dvc_files.Outputs, listed: list[Packed]
) -> None:
    """Print a line if DVC will run stages again where the archive is unpacked."""
    known = {file.path: file.md5 for file in listed}
    changed = [path for path, md5 in outputs.items() if known.get(path) != md5]
    if changed:
        click.echo(
            f"note: {changed[0]} is not the file that {LOCK} names: `dvc repro` will make it again in the other clone. "
            "Run `dvc repro` here first, then pack again.",
            err=True,
        )
    elif all_stages and not outputs:
        click.echo(
            f"note: {LOCK} is of another dataset, not of {dataset}: `dvc repro` will make the files again in the other "
            "clone. Set the dataset in params.yaml, run `dvc repro` here first, then pack again.",
            err=True,
        )


def _changed(listed: list[Packed], since: Path, dataset: str) -> list[Packed]:
    """Return the files, those that an earlier archive lists with the same bytes marked as not here."""
    with opened(since) as (_, earlier):
        if earlier.dataset != dataset:
            raise StoreError(f"{since} is of the dataset {earlier.dataset}, not {dataset}. Name an earlier one of it.")
        before = {file.path: file for file in earlier.files}
    return [
        dataclasses.replace(file, here=False) if file.path in before and file.same(before[file.path]) else file
        for file in listed
    ]


def _project(stages: dict[str, str]) -> dict[str, str]:
    """Return SHA-256 of the files that set up the pipeline, by path."""
    found = {}
    for name in (*dvc_files.PROJECT, *dvc_files.experiments(stages, Path(LOCK))):
        with suppress(OSError):
            found[name] = sha256_of(Path(name))
    return found


def _write(out: Path, index: Index, sources: dict[str, Path], lock_text: bytes) -> None:
    here = [file for file in index.files if file.here]
    with atomic(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(INDEX), index.to_bytes())

        def copied() -> Iterator[bytes]:
            for file in here:
                if file.path == LOCK:
                    archive.writestr(_entry(LOCK), lock_text)
                else:
                    yield from _copied(archive, file, sources[file.path])

        carry_out(copied(), sum(file.size for file in here), "packing")


def _copied(archive: zipfile.ZipFile, file: Packed, source: Path) -> Iterator[bytes]:
    """Copy a file into an archive; yield its blocks. Raises StoreError if it is no longer what was listed."""
    entry, found = _entry(file.path), Digests()
    entry.file_size = file.size  # by which zipfile decides whether the sizes take 64 bits
    with source.open("rb") as source_file, archive.open(entry, "w") as target:
        for block in hashed(source_file, found):
            target.write(block)
            yield block
    if not found.of(file):
        raise StoreError(f"{source} changed while it was packed. Run the same command again.")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = MODE
    return entry
