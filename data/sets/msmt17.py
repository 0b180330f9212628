"""MSMT17 (Wei et al., CVPR 2018), V1 (`train/`, `test/`) or V2 (`mask_train_v2/`, `mask_test_v2/`).

`list_train.txt`, `list_val.txt`, `list_query.txt` and `list_gallery.txt` have a line for each image: path and identity.
Training and test both count identities from 0. Images are named PPPP_NNN_CC_...: CC is the camera. `list_val.txt` has
further images of the training identities.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dsa_app.errors import DatasetError
from dsa_app.guard import guarded
from dsa_app.wording import shown

from ..keys import is_key
from ..numbers import whole
from ..records import Entry
from .dataset import Dataset, published
from .layout import check_present

FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
LISTS = {"train": ["list_train.txt", "list_val.txt"], "query": ["list_query.txt"], "gallery": ["list_gallery.txt"]}
ARCHIVES = ("MSMT17_V1", "MSMT17_V2")
TEST_FROM = 10_001  # pid of the first test identity; training identities count from 1, as 0 is the distractors'
SOURCE = "Ask its authors for MSMT17 (Peking University) and unpack it there: image folders and list_*.txt."


def scan(root: Path, val: bool) -> list[Entry]:
    """Return the entries of the listed images; with `val`, those of `list_val.txt` are in training too.

    Raises:
        DatasetError: for a missing list or folder, both versions at once, or a line of another form.
    """
    lists = {split: names if val else names[:1] for split, names in LISTS.items()}
    check_present(root, [name for names in lists.values() for name in names], SOURCE)
    trained, tested = _folders(root)
    entries = []
    for split, names in lists.items():
        folder, first = (trained, 1) if split == "train" else (tested, TEST_FROM)
        listed = [entry for name in names for entry in _read(root / name, split, folder, first)]
        if not listed:
            raise DatasetError(f"{root / names[0]} lists no image. {SOURCE}")
        entries += listed
    return entries


def _folders(root: Path) -> tuple[str, str]:
    present = [pair for pair in FOLDERS if all((root / folder).is_dir() for folder in pair)]
    if len(present) == 1:
        return present[0]
    names = " or ".join(" and ".join(pair) for pair in FOLDERS)
    versions = "both versions" if present else "neither version"
    raise DatasetError(f"{root} has the images of {versions}: expected {names}. {SOURCE}")


def _read(path: Path, split: str, folder: str, first: int) -> list[Entry]:
    entries = []
    with guarded(DatasetError, path, "is not a text file", SOURCE):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, pid = line.rsplit(maxsplit=1)
            camid = Path(name).name.split("_")[2]
            if not is_key(name):
                raise ValueError
        except (ValueError, IndexError):
            raise DatasetError(
                f"{path}, line {number}: expected an image and its identity, as in "
                f"0000/0000_000_01_0303morning_0008_0.jpg 0; found {shown(line)}. {SOURCE}"
            ) from None
        where = f"{path}, line {number}"
        entries.append(Entry(f"{folder}/{name}", split, first + whole(pid, "pid", where), whole(camid, "camid", where)))
    return entries


SETS = {
    "msmt17": Dataset(
        partial(scan, val=True),
        "MSMT17, trained on list_train.txt and list_val.txt",
        SOURCE,
        "msmt17",
        published((32621, 1041), (11659, 3060), (82161, 3060)),
        cameras=15,
        archive_folders=ARCHIVES,
    ),
    "msmt17-train": Dataset(
        partial(scan, val=False),
        "MSMT17, trained on list_train.txt only",
        SOURCE,
        "msmt17",
        published((30248, 1041), (11659, 3060), (82161, 3060)),
        cameras=15,
        archive_folders=ARCHIVES,
    ),
}
