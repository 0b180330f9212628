"""Market-1501 (Zheng et al., ICCV 2015), version 15.09.15, and all datasets of the same layout.

`bounding_box_train/`, `query/`, `bounding_box_test/` have images named PPPP_cCsS_FFFFFF_NN.jpg: identity, camera,
sequence, frame, box. Identity -1 is junk and dropped; 0000 is a distractor and stays in the gallery. `gt_bbox/` has the
hand-drawn boxes of every identity, for the multi-query protocol.
"""

from __future__ import annotations

import re
from pathlib import Path

from dsa_app.errors import DatasetError

from ..numbers import whole
from ..records import Entry
from .dataset import Dataset, published
from .layout import JUNK, check_disjoint, check_distractor, check_present, image_keys

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
BOXES, MULTIQUERY = "gt_bbox", "multiquery"
NAME = re.compile(r"(?P<pid>-1|[0-9]+)_c(?P<camid>[0-9]+)[s_]")


def scan(root: Path) -> list[Entry]:
    """Return the entries of the images under `root`, without junk.

    Raises:
        DatasetError: for a folder that is missing or empty, an image whose name is not in Market-1501's form, an
            identity that is both in training and in test, or a distractor outside the gallery.
    """
    layout = f"Expected Market-1501's layout: {', '.join(FOLDERS.values())} in {root}."
    check_present(root, list(FOLDERS.values()), layout)
    entries = []
    for split, folder in FOLDERS.items():
        listed = list_folder(root, folder, split)
        if not listed:
            raise DatasetError(f"{root / folder} has no image for the split {split!r}. {layout}")
        for entry in listed:
            check_distractor(entry.pid, split, str(root / entry.key))
        entries += listed
    check_disjoint(entries, root)
    return entries


def multiquery(root: Path) -> dict[str, list[Entry]]:
    """Return the multi-query protocol: the images in `gt_bbox` of each query's identity by its camera.

    Empty if there is no such folder.
    """
    if not (root / BOXES).is_dir():
        return {}
    queries = {(entry.pid, entry.camid) for entry in list_folder(root, FOLDERS["query"], "query", report=False)}
    boxes = list_folder(root, BOXES, MULTIQUERY)
    return {MULTIQUERY: [entry for entry in boxes if (entry.pid, entry.camid) in queries]}


def list_folder(root: Path, folder: str, split: str, report: bool = True) -> list[Entry]:
    """Return the entries of a folder's images, without junk. Raises DatasetError for a name of another form.

    Args:
        report: print which files are not read.
    """
    entries = [_entry(root, key, split) for key in image_keys(root / folder, root, report)]
    return [entry for entry in entries if entry.pid != JUNK]


def _entry(root: Path, key: str, split: str) -> Entry:
    match = NAME.match(Path(key).name)
    if not match:
        raise DatasetError(f"{root / key}: expected a name like 0002_c1s1_000451_03.jpg. Rename or remove it.")
    pid, camid = whole(match["pid"], "pid", str(root / key), low=JUNK), whole(match["camid"], "camid", str(root / key))
    return Entry(key, split, pid, camid)


SETS = {
    "market1501": Dataset(
        scan,
        "Market-1501",
        "Download Market-1501-v15.09.15.zip from its authors and unpack it there.",
        "market1501",
        published((12936, 751), (3368, 750), (15913, 750)),
        cameras=6,
        archive_folders=("Market-1501-v15.09.15",),
        protocols=multiquery,
    )
}
