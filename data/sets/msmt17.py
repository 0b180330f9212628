"""MSMT17 (Wei et al., CVPR 2018), V1 (`train/`, `test/`) or V2 (`mask_train_v2/`, `mask_test_v2/`).

`list_train.txt`, `list_val.txt`, `list_query.txt` and `list_gallery.txt` hold a line a picture, its path and identity.
Training and test both count identities from 0. Pictures are named PPPP_NNN_CC_...: CC is the camera. `list_val.txt`
holds further pictures of the training identities.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dsa_app.errors import DatasetError

from ..records import Entry
from .dataset import Dataset, published
from .layout import need

FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
LISTS = {"train": ["list_train.txt", "list_val.txt"], "query": ["list_query.txt"], "gallery": ["list_gallery.txt"]}
ARCHIVES = ("MSMT17_V1", "MSMT17_V2")
TEST_FROM = 10_001  # first number of a test identity here; 0 is a distractor's, and training's count from 1
SOURCE = "Ask its authors for MSMT17 (Peking University) and unpack it there: pictures and list_*.txt."


def scan(root: Path, val: bool) -> list[Entry]:
    """List the pictures that the lists name; training with those of `list_val.txt`, or without.

    Raises:
        DatasetError: for a missing list or folder, both versions at once, or a line that names no picture.
    """
    lists = {split: names if val else names[:1] for split, names in LISTS.items()}
    need(root, [name for names in lists.values() for name in names], SOURCE)
    trained, tested = _folders(root)
    entries = []
    for split, names in lists.items():
        folder, first = (trained, 1) if split == "train" else (tested, TEST_FROM)
        found = [entry for name in names for entry in _read(root / name, split, folder, first)]
        if not found:
            raise DatasetError(f"{root / names[0]} lists no picture. {SOURCE}")
        entries += found
    return entries


def _folders(root: Path) -> tuple[str, str]:
    there = [pair for pair in FOLDERS if all((root / folder).is_dir() for folder in pair)]
    if len(there) == 1:
        return there[0]
    names = " or ".join(" and ".join(pair) for pair in FOLDERS)
    what = "both versions" if there else "neither version"
    raise DatasetError(f"{root} holds the pictures of {what}: expected {names}. {SOURCE}")


def _read(path: Path, split: str, folder: str, first: int) -> list[Entry]:
    entries = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is no text. {SOURCE}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, pid = line.rsplit(maxsplit=1)
            camid = int(Path(name).name.split("_")[2])
            entries.append(Entry(f"{folder}/{name}", split, first + int(pid), camid))
        except (ValueError, IndexError):
            raise DatasetError(
                f"{path}, line {number}: expected a picture and its identity, as in "
                f"0000/0000_000_01_0303morning_0008_0.jpg 0; found {line!r}. {SOURCE}"
            ) from None
    return entries


SETS = {
    "msmt17": Dataset(
        partial(scan, val=True),
        "MSMT17, trained with list_val.txt too",
        SOURCE,
        "msmt17",
        published((32621, 1041), (11659, 3060), (82161, 3060)),
        cameras=15,
        inner=ARCHIVES,
    ),
    "msmt17-train": Dataset(
        partial(scan, val=False),
        "MSMT17, trained on list_train.txt alone",
        SOURCE,
        "msmt17",
        published((30248, 1041), (11659, 3060), (82161, 3060)),
        cameras=15,
        inner=ARCHIVES,
    ),
}
