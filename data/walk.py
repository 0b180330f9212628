"""The images below a folder: the one listing that all commands use. What it leaves out is counted and named."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from dsa_app.errors import DatasetError

from .images import SUFFIXES, is_image

# Files that are expected beside images and are no images: lists, notes, annotations, stores.
COMPANIONS = frozenset(
    {".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".cfg", ".log", ".html"}
    | {".db", ".mat", ".npy", ".npz", ".h5", ".hdf5", ".pkl", ".pt", ".pdf", ".zip", ".tar", ".gz"}
    | {".py", ".m", ".sh", ".lock", ".dvc"}
)
MAP_NAME = re.compile(r"(?P<stem>.+)_iuv\.(?P<ending>\w+)", re.IGNORECASE)  # of an I, U, V map: a_IUV.png
COMPANION_NAMES = frozenset({"readme", "license", "makefile", "md5sums", "sha256sums"})


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files below a folder, by their paths under it, "/"-separated and sorted.

    Attributes:
        images: files of a type that is read.
        unread: other files, which may be images of a type that is not read; without the companions of images.
        hidden: images that are hidden, or in a hidden folder; without macOS's "._" files, which are no images.
    """

    images: list[str]
    unread: list[str]
    hidden: list[str]

    def notes(self, folder: Path) -> list[str]:
        """Return in words what is not listed; nothing if all is read."""
        notes = []
        if self.unread:
            endings = Counter(Path(name).suffix or "no ending" for name in self.unread)
            counts = ", ".join(f"{ending}: {count}" for ending, count in sorted(endings.items()))
            notes.append(
                f"{folder}: {len(self.unread)} files are left out, as their type is not read ({counts}), first "
                f"{self.unread[0]}. If they are images, convert them; read are {', '.join(sorted(SUFFIXES))}."
            )
        if self.hidden:
            notes.append(
                f"{folder}: {len(self.hidden)} hidden images are left out, first {self.hidden[0]}. "
                'Rename them without the leading "." to use them.'
            )
        return notes


def images_below(folder: Path, report: bool = True) -> list[str]:
    """Return the paths of all images below a folder, see `list_files`; print what is not listed, if anything is."""
    listing = list_files(folder)
    for note in listing.notes(folder) if report else []:
        click.echo(f"note: {note}", err=True)
    return listing.images


def is_map(name: str) -> bool:
    """Return whether a file is an I, U, V map by its name: a_IUV.png and the like."""
    return MAP_NAME.fullmatch(Path(name).name) is not None


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below a folder that are not hidden, as `list_files` finds them, of any type."""
    return sorted(name for name in _files(folder) if not any(part.startswith(".") for part in Path(name).parts))


def list_files(folder: Path) -> Listing:
    """List the files below a folder. Links to files and folders are followed; a link to a folder above it is not.

    Raises:
        DatasetError: for a folder that is missing or cannot be read, a link to nothing, or a name that is not UTF-8.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Name a folder of images.")
    images, unread, hidden = [], [], []
    for name in _files(folder):
        path = Path(name)
        if any(part.startswith(".") for part in path.parts):
            image = path.suffix.lower() in SUFFIXES and not path.name.startswith("._")
            if image and (folder / name).exists():  # not an editor's lock, which is a link to nothing
                hidden.append(name)
        elif is_image(path):
            images.append(name)
        elif path.suffix.lower() not in COMPANIONS and path.name.lower() not in COMPANION_NAMES:
            unread.append(name)
    return Listing(sorted(images), sorted(unread), sorted(hidden))


def _files(folder: Path) -> Iterator[str]:
    """Yield the path of every file below a folder, through links, relative to it."""
    above = {folder: frozenset({_identity(folder)})}  # of each folder: itself and those that it was reached through
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(place)
        reached = above.pop(here)
        for name in list(folders):
            identity = _identity(here / name)
            if identity in reached:
                folders.remove(name)  # a link back to a folder above: all its files are listed there
            else:
                above[here / name] = reached | {identity}
        for name in files:
            relative = (here / name).relative_to(folder).as_posix()
            _check_name(relative, folder)
            # A link to nothing that is named like an image is reported where that image is read.
            if not (name.startswith(".") or is_image(here / name) or (here / name).exists()):
                target = os.readlink(here / name)
                raise DatasetError(
                    f"{here / name} is a link to {target}, which does not exist. Restore it or remove it."
                )
            yield relative


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> None:
    raise DatasetError(
        f"{error.filename} cannot be read: {error.strerror}. Fix its permissions, or name another folder."
    )


def _check_name(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{folder}: the file name {name!a} is not UTF-8. Rename the file.") from None
