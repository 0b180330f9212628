"""Checks of a dataset's folder: everything is there, and no identity is in both training and test."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dsa_app.errors import DatasetError

from ..records import Entry
from ..walk import images_below

DISTRACTOR, JUNK = 0, -1  # in Market-1501's naming: identities that are no person


def check_present(root: Path, names: Sequence[str], layout: str) -> None:
    """Check that the files or folders `names` are in `root`.

    Args:
        layout: a sentence on the expected layout.

    Raises:
        DatasetError: naming what is missing, and the folder near `root` that has the expected layout, if there is one.
    """
    missing = [name for name in names if not (root / name).exists()]
    if not missing:
        return
    folder = _nearby(root, names)
    hint = (
        f" {folder} has this layout: move its content to {root}, or replace {root} by a link to it." if folder else ""
    )
    raise DatasetError(f"{root} lacks {', '.join(missing)}.{hint} {layout}")


def check_distractor(pid: int, split: str, where: str) -> None:
    """Raise DatasetError, which begins with `where`, for a distractor outside the gallery."""
    if pid == DISTRACTOR and split != "gallery":
        raise DatasetError(
            f"{where}: identity 0 is a distractor, which only the gallery may have. Number persons from 1."
        )


def _nearby(root: Path, names: Sequence[str]) -> Path | None:
    """Return the folder one or two levels below `root`, or above it, that has all of `names`; None if there is none.

    Archives are often unpacked into a folder of their own, below the one that was meant.
    """
    children = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    grandchildren = sorted(path for child in children for path in child.iterdir() if path.is_dir())
    for folder in (*children, root.parent, *grandchildren):
        if all((folder / name).exists() for name in names):
            return folder
    return None


def image_keys(folder: Path, root: Path, report: bool = True) -> list[str]:
    """Return the keys of the images anywhere in a folder below `root`, sorted; print what is not read, see `walk`."""
    below = folder.relative_to(root)
    return [(below / name).as_posix() for name in images_below(folder, report)]


def split_keys(root: Path, folder: str, split: str, remedy: str) -> list[str]:
    """Return `image_keys` of a split's folder. Raises DatasetError, which ends with `remedy`, if it has no image."""
    keys = image_keys(root / folder, root)
    if not keys:
        raise DatasetError(f"{root / folder} has no image for the split {split!r}. {remedy}")
    return keys


def named_images(
    root: Path, folder: str, name: re.Pattern[str], example: str, source: str
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield the key of every image in a folder below `root`, and the match of its file name.

    Args:
        example: a name of the expected form.
        source: a sentence on where the dataset comes from.

    Raises DatasetError for a folder without images, and for a name of another form.
    """
    keys = image_keys(root / folder, root)
    if not keys:
        raise DatasetError(f"{root / folder} has no image. {source}")
    for key in keys:
        match = name.fullmatch(Path(key).name)
        if not match:
            raise DatasetError(f"{root / key}: expected a name like {example}. Rename or remove it.")
        yield key, match


def check_disjoint(entries: Iterable[Entry], root: Path, remedy: str = "Remove them from one of the two.") -> None:
    """Raise DatasetError if an identity is both in training and in test: the evaluation would be too good."""
    trained: dict[int, str] = {}
    tested: dict[int, str] = {}
    for entry in entries:
        (trained if entry.split == "train" else tested).setdefault(entry.pid, entry.key)
    shared = sorted(trained.keys() & tested.keys() - {DISTRACTOR})
    if shared:
        pid = shared[0]
        raise DatasetError(
            f"{root}: {len(shared)} identities are both in training and in test, first {pid} ({trained[pid]}, "
            f"{tested[pid]}). {remedy}"
        )
