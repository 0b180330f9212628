"""MARS (Zheng et al., ECCV 2016): tracklets of people: `bbox_train/0001/0001C1T0001F001.jpg`, `bbox_test/…`.

The authors' `info/` says which images are a tracklet: `train_name.txt` and `test_name.txt` list the images in order,
and `tracks_train_info.mat` and `tracks_test_info.mat` have a row a tracklet: its first and last line in that list,
person and camera. `query_IDX.mat` has the rows that are queries; the other rows are the gallery. Person -1 is junk and
dropped, 0 a distractor. The evaluation compares tracklets (`evaluate.tracklets`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import DatasetError
from dsa_app.guard import guarded
from dsa_app.wording import shown

from ..keys import is_key
from ..matlab import read_mat
from ..records import Entry
from .dataset import Count, Dataset
from .layout import JUNK, check_disjoint, check_distractor, check_present

TRAIN, TEST = "bbox_train", "bbox_test"
NAMES = {TRAIN: "info/train_name.txt", TEST: "info/test_name.txt"}
TRACKS = {
    TRAIN: ("info/tracks_train_info.mat", "track_train_info"),
    TEST: ("info/tracks_test_info.mat", "track_test_info"),
}
QUERIES = ("info/query_IDX.mat", "query_IDX")
SOURCE = (
    "Download MARS from its authors (liangzheng.com.cn/Project/project_mars.html) and unpack it so that bbox_train/ "
    "and bbox_test/ are there, and info/ of their evaluation code (MARS-evaluation)."
)


def scan(root: Path) -> list[Entry]:
    """Return the entries of all tracklets' images, without junk; tracklets of training count first.

    Raises:
        DatasetError: for a file that is missing, damaged, or does not fit the others, or an identity in training and in
            test.
    """
    check_present(root, [TRAIN, TEST, *NAMES.values(), *(name for name, _ in (*TRACKS.values(), QUERIES))], SOURCE)
    trained, tested = (_read(root, *TRACKS[folder]) for folder in (TRAIN, TEST))
    queries = set(_read(root, *QUERIES).ravel().tolist())
    entries = _entries(root, TRAIN, trained, ["train"] * len(trained), 1)
    splits = ["query" if row in queries else "gallery" for row in range(1, len(tested) + 1)]
    entries += _entries(root, TEST, tested, splits, len(trained) + 1)
    check_disjoint(entries, root)
    return entries


def _entries(root: Path, folder: str, tracks: NDArray[np.int64], splits: list[str], first: int) -> list[Entry]:
    """Return the entries of tracklets (T, 4): first line, last line, person, camera; `first` is the first's number."""
    path = root / NAMES[folder]
    with guarded(DatasetError, path, "is not a text file", SOURCE):
        names = path.read_text(encoding="utf-8").split()
    source = root / TRACKS[folder][0]
    if tracks.ndim != 2 or tracks.shape[1] != 4:
        raise DatasetError(
            f"{source} has the shape {tracks.shape}, expected a row of four numbers a tracklet. {SOURCE}"
        )
    entries = []
    for number, ((start, end, pid, camid), split) in enumerate(zip(tracks.tolist(), splits, strict=True), start=first):
        if pid == JUNK:
            continue
        where = f"{source}, row {number - first + 1}"
        if not 1 <= start <= end <= len(names):
            raise DatasetError(f"{where}: lines {start} to {end}, and {path} has {len(names)}. {SOURCE}")
        check_distractor(pid, split, where)
        for name in names[start - 1 : end]:
            key = f"{folder}/{name[:4]}/{name}"
            if not is_key(key) or not name.startswith(f"{pid:04}C{camid}T"):
                raise DatasetError(
                    f"{where}: person {pid} and camera {camid}, but {path} lists {shown(name)} for it. {SOURCE}"
                )
            entries.append(Entry(key, split, pid, camid, tracklet=number))
    return entries


def _read(root: Path, name: str, variable: str) -> NDArray[np.int64]:
    path, problem = root / name, "is not a list of MARS's tracklets"
    read = read_mat(path, [variable], DatasetError, problem, SOURCE)[variable]
    if not np.issubdtype(read.dtype, np.number):
        raise DatasetError(f"{path} {problem}: {variable} has no numbers. {SOURCE}")
    return read.astype(np.int64)


SETS = {
    "mars": Dataset(
        scan,
        "MARS",
        SOURCE,
        "mars",
        {
            "train": Count(509914, 625, 8298),
            "query": Count(None, None, 1980),
            "gallery": Count(None, None, 9330),
        },
        cameras=6,
        persons="market1501",  # it shows people of Market-1501
    )
}
