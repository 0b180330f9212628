"""Datasets of people who are partly hidden: their images are the queries, and whole people are the gallery.

Occluded-Duke (Miao et al., ICCV 2019) is DukeMTMC-reID in another division, in Market-1501's layout. The others have a
folder of occluded or partial images and one of whole-body images. Cameras are not part of their protocol: readers
(BPBreID, PVPM) number the first folder 1 and the second 2, so that every image of the person is a match.

- Occluded-ReID and P-DukeMTMC (Zhuo et al., ICME 2018): `occluded_body_images/`, `whole_body_images/`, with a folder
  for each person, in P-DukeMTMC below `train/` and `test/`. Names begin with the person: 001_01.tif.
- Partial-ReID (Zheng et al., ICCV 2015): `partial_body_images/` (cut to what is seen), `occluded_body_images/` (as they
  were taken), `whole_body_images/`, names as in 001_001.jpg.
- Partial-iLIDS (He et al., CVPR 2018): `Probe/`, `Gallery/`, an image of each person in both, as in 001.jpg.

All but Occluded-Duke and P-DukeMTMC are test sets: a network is trained on another dataset, most often Market-1501.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dsa_app.errors import DatasetError

from ..numbers import whole
from ..records import Entry
from . import market1501
from .dataset import Count, Dataset, published
from .layout import check_disjoint, check_present, split_keys

NAME = re.compile(r"(?P<pid>[0-9]+)(_.*)?\.[^.]+")  # begins with the person
Folder = tuple[str, str, int]  # name, split, and camera number
OCCLUDED, PARTIAL, WHOLE = "occluded_body_images", "partial_body_images", "whole_body_images"
DUKE = "dukemtmc"  # whose images three of the datasets are


def scan(root: Path, folders: Sequence[Folder], source: str, first: int = 0) -> list[Entry]:
    """Return the entries of the images in `folders`.

    Args:
        first: is added to every pid, where persons may count from 0.

    Raises:
        DatasetError: for a folder that is missing or empty, a name that does not begin with the person, or an identity
            both in training and in test.
    """
    check_present(root, [name for name, _, _ in folders], source)
    entries = []
    for folder, split, camid in folders:
        keys = split_keys(root, folder, split, source)
        entries += [Entry(key, split, first + _pid(root, key, first), camid) for key in keys]
    check_disjoint(entries, root)
    return entries


def _pid(root: Path, key: str, first: int) -> int:
    match = NAME.fullmatch(Path(key).name)
    if not match:
        raise DatasetError(
            f"{root / key}: expected a name that begins with the person: 001_01.jpg. Rename or remove it."
        )
    return whole(match["pid"], "pid", str(root / key), low=1 - first)


def _partial_ilids(root: Path, source: str) -> list[Entry]:
    """Return the entries of Partial-iLIDS; its folders have other names in BPBreID's copy."""
    copied = (root / PARTIAL).is_dir() and not (root / "Probe").is_dir()
    names = (PARTIAL, WHOLE) if copied else ("Probe", "Gallery")
    return scan(root, [(names[0], "query", 1), (names[1], "gallery", 2)], source, first=1)


OCCLUDED_DUKE = (
    "Make it from DukeMTMC-reID.zip with its authors' script: github.com/lightas/Occluded-DukeMTMC-Dataset, and put "
    "Occluded_Duke there."
)
ZHUO = "Download {} from github.com/tinajia2012/ICME2018_Occluded-Person-Reidentification_datasets and unpack it there."
PARTIAL_REID = "Download Partial-REID_Dataset.rar from its authors (Sun Yat-sen University) and unpack it there."
PARTIAL_ILIDS = "Download Partial_iLIDS from github.com/lingxiao-he/Partial-Person-ReID and unpack it there."


def _partial_reid(folder: str, title: str) -> Dataset:
    folders = [(folder, "query", 1), (WHOLE, "gallery", 2)]
    return Dataset(
        partial(scan, folders=folders, source=PARTIAL_REID),
        title,
        PARTIAL_REID,
        "partial-reid",
        {"query": Count(300, 60), "gallery": Count(300, 60)},
        archive_folders=("Partial-REID_Dataset", "Partial_REID"),
        persons="partial-reid",
    )


SETS = {
    "occluded-duke": Dataset(
        market1501.scan,
        "Occluded-Duke",
        OCCLUDED_DUKE,
        "occluded-duke",
        # the lengths of its authors' lists of images
        published((15618, 702), (2210, 519), (17661, 1110)),
        cameras=8,
        archive_folders=("Occluded_Duke",),
        persons=DUKE,
    ),
    "occluded-reid": Dataset(
        partial(scan, folders=[(OCCLUDED, "query", 1), (WHOLE, "gallery", 2)], source=ZHUO.format("Occluded_REID")),
        "Occluded-ReID, a test set",
        ZHUO.format("Occluded_REID"),
        "occluded-reid",
        {"query": Count(1000, 200), "gallery": Count(1000, 200)},
        archive_folders=("Occluded_REID",),
        persons="occluded-reid",
    ),
    "p-dukemtmc": Dataset(
        partial(
            scan,
            folders=[
                (f"train/{OCCLUDED}", "train", 1),
                (f"train/{WHOLE}", "train", 2),
                (f"test/{OCCLUDED}", "query", 1),
                (f"test/{WHOLE}", "gallery", 2),
            ],
            source=ZHUO.format("P-DukeMTMC-reid"),
        ),
        "P-DukeMTMC-reID",
        ZHUO.format("P-DukeMTMC-reid"),
        "p-dukemtmc",
        total=Count(24143, 1299),
        archive_folders=("P-DukeMTMC-reid",),
        persons=DUKE,
    ),
    "partial-reid": _partial_reid(PARTIAL, "Partial-ReID, cut to what is seen, a test set"),
    "partial-reid-occluded": _partial_reid(OCCLUDED, "Partial-ReID, occluded images as they were taken, a test set"),
    "partial-ilids": Dataset(
        partial(_partial_ilids, source=PARTIAL_ILIDS),
        "Partial-iLIDS, a test set",
        PARTIAL_ILIDS,
        "partial-ilids",
        {"query": Count(119, 119), "gallery": Count(119, 119)},
        archive_folders=("Partial_iLIDS",),
        persons="ilids",
    ),
}
