"""Unpacks the images of CUHK03's `cuhk-03.mat` once, into PNG files that every stage can read.

The file is MATLAB 7.3, which is HDF5. `labeled` and `detected` have five cells, one for each pair of cameras. A cell is
a table of cells with a row for each person and ten columns: images 1-5 of the first camera, 6-10 of the second, empty
if there are fewer. MATLAB stores arrays transposed. Images are named PAIR_PERSON_CAMERA_NUMBER.png, as in the lists of
the new protocol. `testsets` has the classic protocol's twenty lists of (pair, person). They are written next to the
images, so that the file can be deleted once it is unpacked.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from dsa_app.console import progress, status
from dsa_app.errors import DatasetError
from dsa_app.guard import guarded
from dsa_app.lock import delete_left_lock, locked
from dsa_reid.atomic import atomic
from dsa_reid.decoding.limits import check_size

from ..images import write_png

MAT, NOTE = "cuhk-03.mat", "unpacked.json"
SOURCE = "Ask its authors for cuhk03_release.zip (Chinese University of Hong Kong) and unpack it there."
PER_CAMERA = 5
LARGEST_TABLE = 1 << 20  # cells
NAME = re.compile(r"\d{1,3}_\d{3,6}_[12]_\d{2}\.png")  # PAIR_PERSON_CAMERA_NUMBER.png

Cell = tuple[str, h5py.Reference]


@dataclasses.dataclass(frozen=True)
class Unpacked:
    """The images of one kind of boxes.

    Attributes:
        folder: name of the folder below the dataset's.
        names: of the images in it, sorted.
        testsets: for each classic split the tested persons, as (pair, person), from 1.
    """

    folder: str
    names: list[str]
    testsets: list[list[tuple[int, int]]]


def unpack(root: Path, boxes: str) -> Unpacked:
    """Write the images of `boxes` ("labeled" or "detected") below `root`, unless they are there; return them.

    If it is killed, the next call resumes: images are written whole or not at all, and the list of all images last.

    Raises:
        DatasetError: if the file is missing, cut short, or not CUHK03's.
        BusyError: if another process is unpacking it.
    """
    folder = root / f"images_{boxes}"
    note = _read_note(folder / NOTE)
    if note is None:
        with locked(folder, f"Another process is unpacking {folder}. Wait for it, or stop it."):
            _write(_mat(root), boxes, folder)
        note = _read_note(folder / NOTE)
        assert note is not None, "it was written a moment ago"
    delete_left_lock(folder)  # of a call that was killed just before it ended
    missing = [name for name in note.names if not (folder / name).exists()]
    if missing:
        raise DatasetError(
            f"{folder} lacks {len(missing)} of its {len(note.names)} images, first {missing[0]}. "
            f"Delete {folder / NOTE} and run the same command again; the other images are kept."
        )
    return note


def _mat(root: Path) -> Path:
    """Return the authors' file: in `root`, or in the folder that its archive is unpacked to."""
    for mat in (root / MAT, root / "cuhk03_release" / MAT):
        if mat.is_file():
            return mat
    raise DatasetError(f"{root / MAT} is missing. {SOURCE}")


def _write(mat: Path, boxes: str, folder: Path) -> None:
    status(f"{folder}: unpacking the {boxes} images of {mat}; this is done once")
    remedy = f"It is cut short or another file. Copy it again. {SOURCE}"
    with guarded(DatasetError, mat, "cannot be read as CUHK03's file", remedy), h5py.File(mat, "r") as file:
        cells = list(_cells(file, boxes))
        names = []
        for name, cell in progress(cells, len(cells), "unpacking", unit="cells"):
            if _save(file, cell, folder / name):
                names.append(name)
        testsets = [_small(file[cell]).T.astype(int).tolist() for cell in _small(file["testsets"])[0]]
    if not names:
        raise DatasetError(f"{mat} has no {boxes} image. {SOURCE}")
    with atomic(folder / NOTE) as part:
        part.write_text(json.dumps({"names": sorted(names), "testsets": testsets}) + "\n", encoding="utf-8")


def _cells(file: h5py.File, boxes: str) -> Iterator[Cell]:
    """Yield the name of every image and the reference to its cell, pair by pair, person by person."""
    for pair, table in enumerate(_small(file[boxes])[0], start=1):
        persons = _small(file[table]).T  # (persons, 10) references
        for person, row in enumerate(persons, start=1):
            for number, cell in enumerate(row, start=1):
                camera = 1 if number <= PER_CAMERA else 2
                yield f"{pair}_{person:03}_{camera}_{number:02}.png", cell


def _small(table: h5py.Dataset) -> np.ndarray:
    """Return a table of cells or numbers. Raises ValueError for one of more cells than CUHK03 has by far."""
    if table.size is None or table.size > LARGEST_TABLE:
        raise ValueError(f"a table has {table.size} cells")
    return np.asarray(table[()])


def _save(file: h5py.File, cell: h5py.Reference, path: Path) -> bool:
    """Write a cell's image unless the file is there; return whether the cell has an image."""
    stored = file[cell]
    if len(stored.shape) != 3:  # an empty cell is two numbers, its size
        return False
    channels, width, height = stored.shape
    check_size(width, height)
    if channels != 3 or stored.dtype != np.uint8:
        raise ValueError(f"an image is {stored.dtype}{stored.shape}, expected uint8 (3, W, H)")
    if not path.exists():
        write_png(path, np.ascontiguousarray(stored[()].T, dtype=np.uint8))  # (3, W, H) -> (H, W, 3) RGB
    return True


def _read_note(path: Path) -> Unpacked | None:
    if not path.exists():
        return None
    with guarded(DatasetError, path, "is damaged", "Delete it and run the same command again; the images are kept."):
        note = json.loads(path.read_text(encoding="utf-8"))
        tested = [[(int(pair), int(person)) for pair, person in testset] for testset in note["testsets"]]
        names = note["names"]
        if not isinstance(names, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
            raise ValueError("it does not list images of CUHK03")
        return Unpacked(path.parent.name, names, tested)
