"""Layouts that others use: read as they are, or answered with the command that writes a `dataset.csv` for them.

A layout is read if its folders and file names say split, identity and camera of every image. Where they do not, or a
benchmark has several protocols, a person has to choose: the command that is printed makes one choice, which can be
changed.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from dsa_app.errors import DatasetError

from ..images import is_image
from ..numbers import whole
from ..records import Entry
from .layout import JUNK, check_disjoint, check_distractor, image_keys, split_keys

PRINT = 'print("path,pid,camid,split")'


@dataclasses.dataclass(frozen=True)
class Convention:
    """A layout that is read.

    Attributes:
        title: whose it is.
        folders: the split of each folder; all of them must be there.
        name: the path of an image below its folder, with the groups `pid`, `camid`, and `clothes` if it has them.
        example: such a path.
        first: is added to every pid, where persons count from 0.
    """

    title: str
    folders: Mapping[str, str]
    name: re.Pattern[str]
    example: str
    first: int = 0

    def fits(self, root: Path) -> bool:
        """Return whether `root` has all folders, and the first image of the first of them a path of this form."""
        if not all((root / folder).is_dir() for folder in self.folders):
            return False
        folder = next(iter(self.folders))
        first = next(iter(image_keys(root / folder, root, report=False)), None)
        return first is not None and self._match(first, folder) is not None

    def scan(self, root: Path) -> list[Entry]:
        """Return the entries of the images under `root`, without junk.

        Raises:
            DatasetError: for an empty folder, a path of another form, an identity in training and in test, or a
                distractor outside the gallery.
        """
        entries = []
        for folder, split in self.folders.items():
            keys = split_keys(root, folder, split, "Restore it.")
            entries += [entry for key in keys if (entry := self._entry(root, key, folder, split)).pid != JUNK]
        check_disjoint(entries, root)
        return entries

    def _match(self, key: str, folder: str) -> re.Match[str] | None:
        return self.name.fullmatch(key.removeprefix(f"{folder}/"))

    def _entry(self, root: Path, key: str, folder: str, split: str) -> Entry:
        match = self._match(key, folder)
        if not match:
            raise DatasetError(f"{root / key}: expected a path like {folder}/{self.example}. Rename or remove it.")
        pid = whole(match["pid"], "pid", str(root / key), low=JUNK)
        pid = pid if pid == JUNK else pid + self.first
        check_distractor(pid, split, str(root / key))
        clothes = whole(match["clothes"], "clothes", str(root / key), low=1) if "clothes" in self.name.groupindex else 0
        return Entry(key, split, pid, whole(match["camid"], "camid", str(root / key)), clothes=clothes)


# layumi's Person_reID_baseline_pytorch: Market-1501's images, a folder for each person; `train_all` is `train` + `val`.
BY_PERSON = re.compile(r"(?P<pid>-1|[0-9]+)/[^/]*?_?c(?P<camid>[0-9]+)[^/]*")
LAYUMI = "layumi's layout of a folder for each person"
LTCC = Convention(
    "LTCC's layout",
    {"train": "train", "query": "query", "test": "gallery"},
    re.compile(r"(?:.*/)?(?P<pid>[0-9]+)_(?P<clothes>[0-9]+)_c(?P<camid>[0-9]+)_[^/]*"),
    "094_1_c9_015833.png",
    first=1,
)
READ = (
    [
        Convention(
            LAYUMI,
            {f"{within}{folder}": split for folder, split in folders.items()},
            BY_PERSON,
            "0002/0002_c1s1_000451_03.jpg",
        )
        for within in ("", "pytorch/")
        for folders in (
            {"train_all": "train", "query": "query", "gallery": "gallery"},
            {"train": "train", "val": "train", "query": "query", "gallery": "gallery"},
            {"train": "train", "query": "query", "gallery": "gallery"},
        )
    ]
    + [
        Convention(
            "the layout of folders for the splits, with Market-1501's names",
            {"train": "train", "query": "query", gallery: "gallery"},
            re.compile(r"(?P<pid>-1|[0-9]+)_c(?P<camid>[0-9]+)[^/]*"),
            "0002_c1s1_000451_03.jpg",
        )
        for gallery in ("gallery", "test")
    ]
    + [
        Convention(
            "VeRi-776's layout",
            {"image_train": "train", "image_query": "query", "image_test": "gallery"},
            re.compile(r"(?:.*/)?(?P<pid>[0-9]+)_c(?P<camid>[0-9]+)_[^/]*"),
            "0001_c001_00016450_0.jpg",
        ),
        LTCC,
    ]
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A layout that is answered with a command.

    Attributes:
        title: whose it is.
        fits: whether a folder has it.
        choice: what the command decides that the layout does not say.
        code: Python that prints the table; it runs in the dataset's folder.
    """

    title: str
    fits: Callable[[Path], bool]
    choice: str
    code: str

    def answer(self, root: Path) -> str:
        """Return the message: what was recognised, and the command."""
        return (
            f"{root} has {self.title}, which does not say all that is needed. Write its table dataset.csv, in which "
            f"{self.choice}:\ncd {shlex.quote(str(root))} && python3 -c {shlex.quote(self.code)} > dataset.csv"
        )


def _has(*folders: str) -> Callable[[Path], bool]:
    return lambda root: all((root / folder).is_dir() for folder in folders)


def _has_persons(*folders: str) -> Callable[[Path], bool]:
    """Return a test for folders in which each person has a folder of images."""

    def fits(root: Path) -> bool:
        for folder in folders:
            below = sorted((root / folder).iterdir()) if (root / folder).is_dir() else []
            persons = [path for path in below if path.is_dir() and not path.name.startswith(".")]
            if not persons or not all(any(map(is_image, person.iterdir())) for person in persons):
                return False
        return True

    return fits


SPLITS = {"train", "training", "val", "validation", "test", "query", "probe", "gallery"}


def _is_persons(root: Path) -> bool:
    """Return whether the folders of `root` are persons: of images, and not called as splits are."""
    return _has_persons(".")(root) and not any(path.is_dir() and path.name.lower() in SPLITS for path in root.iterdir())


WITHOUT_CAMERAS = "all images have camera 1 (evaluate with --set evaluate.cameras=ignore)"
FIRST = '"query" if k == 0 else "gallery"'
RECIPES = [
    Recipe(
        "PRCC's layout",
        _has("rgb/train", "rgb/test/A", "rgb/test/C"),
        "the queries are those of camera C, in other clothes (test/B in its place: in the same clothes)",
        f"import pathlib as p; {PRINT}; [print(f, int(f.parent.name), "
        '"ABC".index((f.name if s == "train" else d[-1])[0]) + 1, s, sep=",") '
        'for d, s in [("train", "train"), ("test/A", "gallery"), ("test/C", "query")] '
        'for f in sorted(p.Path("rgb", d).glob("*/*.jpg"))]',
    ),
    Recipe(
        "MARS's layout",
        _has("bbox_train", "bbox_test"),
        "the query is the first frame of each person's first tracklet in each camera (MARS's own are tracklets: "
        "info/query_IDX.mat)",
        f'import pathlib as p; {PRINT}; [print(f, f.parent.name.replace("00-1", "-1"), f.name.split("C")[1][0], '
        '"query" if s == "gallery" and f.parent.name not in ("0000", "00-1") '
        'and f.name.endswith("T0001F001.jpg") else s, sep=",") '
        'for d, s in [("bbox_train", "train"), ("bbox_test", "gallery")] '
        'for f in sorted(p.Path(d).glob("*/*.jpg"))]',
    ),
    Recipe(
        "a folder for each person in train, query and gallery",
        _has_persons("train", "query", "gallery"),
        WITHOUT_CAMERAS,
        f'import pathlib as p; {PRINT}; s = ["train", "query", "gallery"]; '
        'i = sorted({f.parent.name for d in s for f in p.Path(d).glob("*/*")}); '
        '[print(f, i.index(f.parent.name) + 1, 1, d, sep=",") for d in s for f in sorted(p.Path(d).glob("*/*"))]',
    ),
    Recipe(
        "a folder for each person in train and test",
        _has_persons("train", "test"),
        f"each test person's first image is the query, and {WITHOUT_CAMERAS}",
        f'import pathlib as p; {PRINT}; t = [(d, x) for d in ("train", "test") for x in sorted(p.Path(d).iterdir())]; '
        'i = sorted({x.name for d, x in t}); [print(f, i.index(x.name) + 1, 1, d if d == "train" else '
        f'{FIRST}, sep=",") for d, x in t for k, f in enumerate(sorted(x.iterdir()))]',
    ),
    Recipe(
        "a folder for each person",
        _is_persons,
        "the first half of the persons is for training, each other person's first image is the query, and "
        f"{WITHOUT_CAMERAS}",
        f"import pathlib as p; {PRINT}; d = sorted(x for x in p.Path().iterdir() if x.is_dir()); "
        '[print(f, n, 1, "train" if 2 * n <= len(d) else '
        f'{FIRST}, sep=",") for n, x in enumerate(d, 1) for k, f in enumerate(sorted(x.iterdir()))]',
    ),
]


def recognise(root: Path) -> Convention | Recipe | None:
    """Return the layout of others that a folder has, if it is a known one: one that is read before the others."""
    layouts: list[Convention | Recipe] = [*READ, *RECIPES]
    return next((layout for layout in layouts if layout.fits(root)), None)
