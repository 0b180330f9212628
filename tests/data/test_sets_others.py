"""CUHK01, MSMT17, people's own folders and tables, and several datasets joined."""

import random
from collections import Counter
from pathlib import Path

import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st

from data import sets
from data.errors import DatasetError, PictureError
from data.listing import list_dataset
from data.records import Entry, read_manifest
from data.sets.cuhk01 import read_splits
from data.sets.joined import join


@pytest.mark.parametrize("tested", [486, 100])
def test_cuhk01_splits_are_those_that_were_drawn(tested: int) -> None:
    splits = read_splits(tested)
    assert len(splits) == 10
    for number, persons in enumerate(splits):
        assert persons == sorted(random.Random(f"cuhk01 {tested} {number}").sample(range(1, 972), tested))


@pytest.mark.parametrize("name", ["cuhk01", "cuhk01-100"])
def test_cuhk01_by_hand(datasets: Path, tmp_path: Path, name: str) -> None:
    trees.cuhk01(datasets)
    listed = list_dataset(name, tmp_path / "manifest.csv")
    assert Counter((r.split, r.camid) for r in listed) == {
        ("train", 1): 8,
        ("train", 2): 8,
        ("query", 1): 8,
        ("gallery", 2): 8,
    }
    protocols = sorted((tmp_path / "protocols").iterdir())
    assert [path.name for path in protocols] == [f"split{number:02}.csv" for number in range(10)]
    assert protocols[0].read_bytes() == (tmp_path / "manifest.csv").read_bytes()
    tested = set(read_splits(int(name[7:] or 486))[3])
    for record in read_manifest(protocols[3]):
        assert (record.split != "train") == (record.pid in tested)
    assert sets.dataset(name).gallery == "single-shot"


def test_cuhk01_odd_name_and_wrong_root(datasets: Path) -> None:
    root = trees.cuhk01(datasets)
    with pytest.raises(DatasetError, match=r"cuhk01 has it: move what is in there to .*campus"):
        sets.scan("cuhk01", root / "campus")
    (root / "campus" / "0001005.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"0001005\.png: expected a name like 0001001\.png"):
        sets.scan("cuhk01")


@pytest.mark.parametrize("version", [1, 2])
def test_msmt17_by_hand(datasets: Path, version: int) -> None:
    root = trees.msmt17(datasets, version)
    entries = sets.scan("msmt17")
    assert Counter(e.split for e in entries) == {"train": 16, "query": 3, "gallery": 9}
    assert Counter(e.split for e in sets.scan("msmt17-train"))["train"] == 12
    pids = {split: {e.pid for e in entries if e.split == split} for split in ("train", "query", "gallery")}
    assert pids["train"] == {1, 2, 3, 4}
    assert pids["query"] == pids["gallery"] == {10001, 10002, 10003}  # both lists count from 0
    assert (entries[1].camid, Path(entries[1].key).name[:13]) == (8, "0000_001_08_0")
    assert all((root / entry.key).exists() for entry in entries)


def test_msmt17_faults(datasets: Path) -> None:
    root = trees.msmt17(datasets, version=1)
    lines = (root / "list_query.txt").read_text()
    for odd in ("0000/0000_000.jpg 0", "0000/0000_000_01_x.jpg zero", "one"):
        (root / "list_query.txt").write_text(f"{lines}\n{odd}\n")
        with pytest.raises(DatasetError, match=r"list_query\.txt, line 5: expected a picture and its identity"):
            sets.scan("msmt17")
    (root / "list_query.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"list_query\.txt lists no picture"):
        sets.scan("msmt17")
    (root / "list_query.txt").unlink()
    with pytest.raises(DatasetError, match=r"lacks list_query\.txt"):
        sets.scan("msmt17")
    (root / "list_query.txt").write_text(lines)
    trees.msmt17(datasets, version=2)
    with pytest.raises(DatasetError, match="holds the pictures of both versions"):
        sets.scan("msmt17")
    root.rename(datasets / "MSMT17_V1")
    (root / "MSMT17_V2").mkdir(parents=True)
    (datasets / "MSMT17_V1").rename(root / "MSMT17_V1")
    with pytest.raises(DatasetError, match="holds MSMT17_V1 and MSMT17_V2: which is meant"):
        sets.scan("msmt17")


def test_msmt17_a_listed_picture_that_is_not_there(datasets: Path, tmp_path: Path) -> None:
    root = trees.msmt17(datasets)
    (root / sets.scan("msmt17")[0].key).unlink()
    with pytest.raises(PictureError, match=r"0000_000_01_0303morning_0008_0\.jpg is missing"):
        list_dataset("msmt17", tmp_path / "manifest.csv")


def test_own_folder_in_markets_naming(datasets: Path) -> None:
    trees.market1501(datasets, "shop.2024")
    assert len(sets.scan("shop.2024")) == 28
    assert sets.dataset_root("shop.2024") == datasets / "shop.2024"


TABLE = """split,path,pid,camid
train,a/1.png,4,1
query,a/2.png,7,0
gallery,b c/3.png,7,2
gallery,4.png,0,1
train,5.png,-1,1
"""


def test_own_table(datasets: Path, tmp_path: Path) -> None:
    root = trees.draw(datasets / "mine", ["a/1.png", "a/2.png", "b c/3.png", "4.png", "5.png"])
    (root / "dataset.csv").write_text("\ufeff" + TABLE, encoding="utf-8")
    listed = list_dataset("mine", tmp_path / "manifest.csv")
    assert [(r.key, r.split, r.pid, r.camid) for r in listed] == [
        ("4.png", "gallery", 0, 1),
        ("a/1.png", "train", 4, 1),
        ("a/2.png", "query", 7, 0),
        ("b c/3.png", "gallery", 7, 2),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split,path", "part,path", "lacks the column 'split'"),
        ("a/1.png,4,1", "/etc/1.png,4,1", r"line 2: expected a path below the dataset's folder, found '/etc/1\.png'"),
        ("a/1.png,4,1", "../1.png,4,1", "line 2: expected a path below"),
        ("a/1.png,4,1", "a/1.png,four,1", "line 2: expected whole numbers, found pid 'four'"),
        ("a/1.png,4,1", "a/1.png,4", "line 2: expected whole numbers"),
        ("a/1.png,4,1", "a/1.png,-2,1", "line 2: expected pid from -1"),
        ("a/1.png,4,1", "a/1.png,0,1", "line 2: identity 0 is a distractor"),
        ("train,a", "trian,a", "line 2: no split is called 'trian'. Did you mean 'train'"),
        ("a/1.png,4,1", "a/1.png,7,1", r"1 identities are in training and in test, first 7"),
    ],
)
def test_own_table_faults(datasets: Path, old: str, new: str, message: str) -> None:
    (datasets / "mine").mkdir()
    (datasets / "mine" / "dataset.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        sets.scan("mine")


def test_a_name_is_no_way_out(datasets: Path) -> None:
    (datasets.parent / "secret").mkdir()
    with pytest.raises(DatasetError, match="No dataset is called"):
        sets.dataset("../secret")
    (datasets / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty is no dataset\. It should hold bounding_box_train"):
        sets.dataset("empty")


def test_joined_identities_and_cameras_do_not_collide(datasets: Path, tmp_path: Path) -> None:
    trees.market1501(datasets)
    trees.dukemtmcreid(datasets)
    trees.msmt17(datasets)
    listed = list_dataset("market1501+dukemtmcreid+msmt17", tmp_path / "manifest.csv")
    of = {
        name: [r for r in listed if r.key.startswith(f"{name}/")] for name in ("market1501", "dukemtmcreid", "msmt17")
    }
    alone = sorted(sets.scan("market1501"), key=lambda entry: entry.key)
    assert [(r.key, r.split, r.pid, r.camid) for r in of["market1501"]] == [
        (f"market1501/{e.key}", e.split, e.pid, e.camid) for e in alone
    ]
    assert {r.split for r in of["dukemtmcreid"] + of["msmt17"]} == {"train"}
    assert [len({r.pid for r in part if r.split == "train"}) for part in of.values()] == [4, 3, 4]
    assert len({r.pid for r in listed if r.split == "train"}) == 11
    cameras = [{r.camid for r in part} for part in of.values()]
    assert sum(map(len, cameras)) == len(set.union(*cameras))
    assert all((sets.dataset_root("market1501+dukemtmcreid") / r.key).exists() for r in listed)


pictures = st.lists(
    st.builds(
        Entry,
        key=st.uuids().map(lambda name: f"{name}.png"),
        split=st.sampled_from(["train", "query", "gallery"]),
        pid=st.integers(0, 30),
        camid=st.integers(0, 5),
    ),
    max_size=20,
)


@given(st.lists(pictures, min_size=1, max_size=4))
def test_joining_keeps_persons_apart_and_together(parts: list[list[Entry]]) -> None:
    joined = join([(str(number), part) for number, part in enumerate(parts)])
    was = {f"{number}/{entry.key}": (number, entry) for number, part in enumerate(parts) for entry in part}
    for name in ("pid", "camid"):
        pairs = {(was[e.key][0], getattr(was[e.key][1], name), getattr(e, name)) for e in joined}
        assert len(pairs) == len({pair[:2] for pair in pairs}) == len({pair[2] for pair in pairs})  # one to one
    assert {e.key for e in joined} == {k for k, (number, e) in was.items() if number == 0 or e.split == "train"}


def test_the_same_persons_are_not_joined(datasets: Path) -> None:
    for name in ("cuhk03-labeled+cuhk03-np-detected", "cuhk01+cuhk01-100", "market1501+market1501"):
        with pytest.raises(DatasetError, match="show the same persons"):
            sets.dataset(name)
    with pytest.raises(DatasetError, match="No dataset is called 'duke'"):
        sets.dataset("market1501+duke")
    trees.market1501(datasets)
    with pytest.raises(DatasetError, match=r"datasets/dukemtmcreid is missing"):
        sets.scan("market1501+dukemtmcreid")
