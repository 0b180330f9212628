"""i-LIDS (Zheng et al., BMVC 2009): `Persons/0001001.jpg`: the person, then the number of the image.

476 images of 119 persons. Its files do not say which camera took an image: as in torchreid, each image of a person
counts as another camera's. 59 persons are for training, with all their images; of the other 60 an image each is query
and another is gallery. Persons and images are sampled ten times (see `halves`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..records import Entry
from .dataset import Count, Dataset
from .halves import every_split, shuffled, tested
from .layout import check_present, named_images

FOLDER = "Persons"
NAME = re.compile(r"(?P<pid>(?!0000)[0-9]{4})(?P<number>[0-9]{3})\.\w+")
SOURCE = "Download i-LIDS_Pedestrian.tgz (Queen Mary University of London) and unpack it there."


def scan(root: Path) -> list[Entry]:
    """Return the entries under the first split. Raises DatasetError for a name that is not in i-LIDS's form."""
    return _divide(_read(root), 0)


def splits(root: Path) -> dict[str, list[Entry]]:
    """Return the entries under every split, by its name: split00, split01, …."""
    return every_split(_read(root), _divide)


def _divide(entries: Sequence[Entry], split: int) -> list[Entry]:
    by_person: dict[int, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        by_person[entry.pid][Path(entry.key).name] = entry
    test = tested(by_person, "ilids", split, len(by_person) // 2)
    found = [entry for entry in entries if entry.pid not in test]
    for pid in sorted(test):
        names = shuffled(by_person[pid], "ilids", split)
        for role, name in zip(("query", "gallery"), names, strict=False):  # the other images are not used
            one = by_person[pid][name]
            found.append(Entry(one.key, role, pid, one.camid))
    return found


def _read(root: Path) -> list[Entry]:
    """Return all entries, as training images."""
    check_present(root, [FOLDER], SOURCE)
    return [
        Entry(key, "train", int(match["pid"]), int(match["number"]))
        for key, match in named_images(root, FOLDER, NAME, "0001001.jpg", SOURCE)
    ]


SETS = {
    "ilids": Dataset(
        scan,
        "i-LIDS, the first of ten splits",
        SOURCE,
        "ilids",
        {"train": Count(None, 59), "query": Count(60, 60), "gallery": Count(60, 60)},
        archive_folders=("i-LIDS_Pedestrian",),
        persons="ilids",
        protocols=splits,
    )
}
