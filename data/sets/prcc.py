"""PRCC (Yang et al., TPAMI 2021): people in two outfits, seen by three cameras: `rgb/train/`, `rgb/test/A/`, `B/`, ….

A person wears the same clothes before cameras A and B, and others before C. Training images are named by their camera:
`rgb/train/002/A_cropped_rgb092.jpg`. The gallery is A's. Queries are B's, whose matches are in the same clothes, and
C's, in changed clothes: `evaluate.clothes` selects. The authors' protocol samples one gallery image of each person, ten
times. `rgb/val/` has further images of the training persons; it is not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from dsa_app.errors import DatasetError

from ..numbers import whole
from ..records import Entry
from .dataset import Count, Dataset
from .layout import check_disjoint, check_present, split_keys

CAMERAS = "ABC"
CHANGED = "C"  # before whose camera people wear other clothes
FOLDERS = {"rgb/train": "train", "rgb/test/A": "gallery", "rgb/test/B": "query", "rgb/test/C": "query"}
PATH = re.compile(r"rgb/(?:train|test/(?P<tested>[ABC]))/(?P<pid>[0-9]+)/(?P<camera>[^/])[^/]*")
SOURCE = "Ask its authors for PRCC (Sun Yat-sen University) and unpack it so that rgb/ is there."


def scan(root: Path) -> list[Entry]:
    """Return the entries of the images under `root`.

    Raises:
        DatasetError: for a folder that is missing or empty, a path of another form, or an identity both in training and
            in test.
    """
    check_present(root, list(FOLDERS), SOURCE)
    entries = []
    for folder, split in FOLDERS.items():
        keys = split_keys(root, folder, split, SOURCE)
        entries += [_entry(root, key, split) for key in keys]
    check_disjoint(entries, root)
    return entries


def _entry(root: Path, key: str, split: str) -> Entry:
    match = PATH.fullmatch(key)
    camera = match and (match["tested"] or match["camera"])
    if not match or not camera or camera not in CAMERAS:
        raise DatasetError(
            f"{root / key}: expected a path like rgb/train/002/A_cropped_rgb092.jpg, of camera A, B or C, or like "
            "rgb/test/A/001/cropped_rgb005.jpg. Rename or remove it."
        )
    pid = whole(match["pid"], "pid", str(root / key), low=1)
    return Entry(key, split, pid, CAMERAS.index(camera) + 1, clothes=2 if camera == CHANGED else 1)


SETS = {
    "prcc": Dataset(
        scan,
        "PRCC",
        SOURCE,
        "prcc",
        {"train": Count(17896, 150), "query": Count(None, 71), "gallery": Count(3384, 71)},
        cameras=3,
        gallery="single-shot",
        archive_folders=("prcc",),
    )
}
