"""Others' layouts: each is read, or answered with a command that writes its table, which is then run."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets

LAYUMI = [
    *[f"train_all/{p:04}/{p:04}_c{c}s1_000451_03.png" for p in (2, 7) for c in (1, 2)],
    "query/0001/0001_c1s1_000001_00.png",
    *[f"gallery/{p}/{p}_c{c}s1_000002_00.png" for p in ("0001", "0000", "-1") for c in (2, 3)],
]
LTCC = [
    *[f"train/{p:03}_1_c{c}_01583{p}.png" for p in (0, 3) for c in (1, 12)],
    "query/001_1_c9_000001.png",
    *[f"test/001_2_c{c}_00000{c}.png" for c in (1, 2)],
]
VERI = [
    *[f"image_train/{p:04}_c{c:03}_00016450_0.png" for p in (1, 4) for c in (1, 20)],
    "image_query/0002_c002_00030600_0.png",
    *[f"image_test/0002_c{c:03}_00030600_0.png" for c in (2, 3)],
]
SPLITS = [
    *[f"train/{p:04}_c{c}s1_000451_03.png" for p in (2, 7) for c in (1, 2)],
    "query/0001_c1s1_000001_00.png",
    *[f"gallery/0001_c{c}s1_000001_00.png" for c in (2, 3)],
    "gallery/0000_c3s1_000002_00.png",
    "gallery/-1_c3s1_000003_00.png",
]


@pytest.mark.parametrize(
    ("names", "counts", "sample"),
    [
        (LAYUMI, {"train": 4, "query": 1, "gallery": 4}, ("query/0001/0001_c1s1_000001_00.png", 1, 1)),
        (
            [f"pytorch/{name}" for name in LAYUMI],
            {"train": 4, "query": 1, "gallery": 4},
            ("pytorch/gallery/0000/0000_c3s1_000002_00.png", 0, 3),
        ),
        (
            [name.replace("train_all", "train") for name in LAYUMI] + ["val/0002/0002_c3s1_000451_03.png"],
            {"train": 5, "query": 1, "gallery": 4},
            ("val/0002/0002_c3s1_000451_03.png", 2, 3),
        ),
        (
            [name.replace("train_all", "train") for name in LAYUMI],
            {"train": 4, "query": 1, "gallery": 4},
            ("train/0007/0007_c2s1_000451_03.png", 7, 2),
        ),
        (LTCC, {"train": 4, "query": 1, "gallery": 2}, ("train/000_1_c12_015830.png", 1, 12)),
        (VERI, {"train": 4, "query": 1, "gallery": 2}, ("image_train/0004_c020_00016450_0.png", 4, 20)),
        (SPLITS, {"train": 4, "query": 1, "gallery": 3}, ("gallery/0000_c3s1_000002_00.png", 0, 3)),
        (
            [name.replace("gallery", "test") for name in SPLITS],
            {"train": 4, "query": 1, "gallery": 3},
            ("test/0001_c2s1_000001_00.png", 1, 2),
        ),
    ],
    ids=["layumi", "layumi pytorch", "layumi train and val", "layumi train", "LTCC", "VeRi", "splits", "splits, test"],
)
def test_layouts_that_are_read(
    datasets: Path, names: list[str], counts: dict[str, int], sample: tuple[str, int, int]
) -> None:
    trees.write_images(datasets / "mine", names)
    entries = sets.scan("mine")
    assert Counter(entry.split for entry in entries) == counts
    assert sample in [(entry.key, entry.pid, entry.camid) for entry in entries]


PRCC = [
    *[f"rgb/train/{p:03}/{c}_cropped_rgb001.jpg" for p in (1, 3) for c in "ABC"],
    *[f"rgb/val/{p:03}/A_cropped_rgb002.jpg" for p in (1, 3)],
    *[f"rgb/test/{c}/{p:03}/cropped_rgb00{n}.jpg" for p in (2, 5) for c in "ABC" for n in (1, 2)],
]
MARS = [
    *[f"bbox_train/{p:04}/{p:04}C{c}T0001F00{f}.jpg" for p in (1, 3) for c in (1, 2) for f in (1, 2)],
    *[f"bbox_test/{p:04}/{p:04}C{c}T0001F00{f}.jpg" for p in (0, 2) for c in (1, 6) for f in (1, 2)],
    "bbox_test/00-1/00-1C1T0001F001.jpg",
]
PERSONS = [f"{p}/{n}.jpg" for p in ("anna", "ben", "carla", "dan") for n in (1, 2, 3)]
SPLIT = [f"{s}/{p}/{n}.png" for s, p in (("train", "a"), ("train", "b"), ("query", "c")) for n in (1, 2)]


@pytest.mark.parametrize(
    ("names", "title", "expected"),
    [
        (
            PRCC,
            "PRCC's layout",
            {
                ("rgb/train/001/B_cropped_rgb001.jpg", "train", 1, 2),
                ("rgb/test/A/005/cropped_rgb002.jpg", "gallery", 5, 1),
                ("rgb/test/C/002/cropped_rgb001.jpg", "query", 2, 3),
            },
        ),
        (
            MARS,
            "MARS's layout",
            {
                ("bbox_train/0003/0003C2T0001F002.jpg", "train", 3, 2),
                ("bbox_test/0002/0002C6T0001F001.jpg", "query", 2, 6),
                ("bbox_test/0002/0002C6T0001F002.jpg", "gallery", 2, 6),
                ("bbox_test/0000/0000C1T0001F001.jpg", "gallery", 0, 1),
            },
        ),
        (
            PERSONS,
            "a folder for each person, which",
            {("ben/1.jpg", "train", 2, 1), ("carla/1.jpg", "query", 3, 1), ("dan/3.jpg", "gallery", 4, 1)},
        ),
        (
            [*SPLIT, "gallery/c/3.png"],
            "a folder for each person in train, query and gallery",
            {("train/b/2.png", "train", 2, 1), ("query/c/1.png", "query", 3, 1), ("gallery/c/3.png", "gallery", 3, 1)},
        ),
        (
            [name.replace("query", "test") for name in SPLIT],
            "a folder for each person in train and test",
            {("train/a/1.png", "train", 1, 1), ("test/c/1.png", "query", 3, 1), ("test/c/2.png", "gallery", 3, 1)},
        ),
    ],
    ids=["PRCC", "MARS", "ImageFolder", "ImageFolder in splits", "ImageFolder train and test"],
)
def test_layouts_that_are_answered_with_a_command(
    datasets: Path, names: list[str], title: str, expected: set[tuple[str, str, int, int]]
) -> None:
    root = trees.write_images(datasets / "my own", names).rename(datasets / "mine")
    with pytest.raises(DatasetError, match=f"mine has {title}") as caught:
        sets.scan("mine")
    _, *command = str(caught.value).splitlines()
    assert len(command) == 1
    subprocess.run(command[0].replace("python3", sys.executable), shell=True, check=True)
    entries = {(entry.key, entry.split, entry.pid, entry.camid) for entry in sets.scan("mine")}
    assert expected <= entries
    junk = [name for name in names if "00-1" in name or "rgb/val" in name or "/B/" in name]
    assert {key for key, *_ in entries} == set(names) - set(junk)
    assert (root / "dataset.csv").exists()


@pytest.mark.parametrize(
    ("names", "change", "message"),
    [
        (VERI, "image_query/holiday.png", r"image_query/holiday\.png: expected a path like image_query/0001_c001_"),
        (LAYUMI, "query/0000/0000_c1s1_000001_00.png", "identity 0 is a distractor"),
        (LAYUMI, "train_all/0001/0001_c1s1_000001_00.png", "1 identities are both in training and in test, first 1"),
    ],
)
def test_what_is_wrong_in_them_is_named(datasets: Path, names: list[str], change: str, message: str) -> None:
    trees.write_images(datasets / "mine", [*names, change])
    with pytest.raises(DatasetError, match=message):
        sets.scan("mine")


def test_folders_of_splits_are_not_taken_for_persons(datasets: Path) -> None:
    trees.write_images(datasets / "mine", [f"{split}/{n}.jpg" for split in ("train", "query") for n in range(3)])
    with pytest.raises(DatasetError) as error:
        sets.scan("mine")
    assert "for each person" not in str(error.value)
