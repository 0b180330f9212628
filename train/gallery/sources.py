"""The images that are embedded: those of a folder, or of a dataset's manifest."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from dsa_app.errors import DatasetError, ImageError
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_data.walk import images_below, is_map


@dataclasses.dataclass(frozen=True)
class Source:
    """An image to embed: its key under a root, its file, and the SHA-256 of its bytes; empty if it cannot be read."""

    key: str
    path: Path
    digest: str


def image_files(folder: Path) -> list[Path]:
    """Return all image files below a folder, sorted by path; print which files are not read.

    I, U, V maps beside the images (a_IUV.png) are no images of people: they are left out, counted and named.
    """
    names = images_below(folder)
    maps = [name for name in names if is_map(name)]
    if maps:
        click.echo(f"note: {folder}: {len(maps)} I, U, V maps are left out, first {maps[0]}.", err=True)
    return [folder / name for name in names if not is_map(name)]


def in_folder(root: Path, workers: int = 1) -> list[Source]:
    """Return all images below a folder, sorted by key. Raises DatasetError if there is none."""
    paths = {path.relative_to(root).as_posix(): path for path in image_files(root)}
    if not paths:
        raise DatasetError(f"{root} holds no image ({', '.join(sorted(images.SUFFIXES))}). Name another folder.")
    keys = sorted(paths)
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(lambda key: _digest(paths[key]), keys))
    return [Source(key, paths[key], digest) for key, digest in zip(keys, digests, strict=True)]


def in_dataset(manifest: Path, root: Path, splits: Sequence[str]) -> list[Source]:
    """Return the images of some splits of a dataset. Raises DatasetError for a manifest that cannot be read."""
    return [Source(record.key, root / record.key, record.digest) for record in read_manifest(manifest, splits)]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(images.read_bytes(path)).hexdigest()
    except ImageError:
        return ""  # the error is raised, or noted, where the image is decoded
