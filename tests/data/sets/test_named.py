"""Occluded, clothes-changing, small and tracklet datasets by name: splits, numbers, and what is wrong with a tree."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import loadmat, savemat

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.cli import main
from dsa_data.listing import list_dataset
from dsa_data.records import Entry, read_manifest
from dsa_data.sets import halves
from dsa_data.sets.dataset import Count

# of each dataset: its tree, and images and persons of each split
DATASETS: dict[str, tuple[Callable[[Path], Path], dict[str, tuple[int, int]]]] = {
    "occluded-duke": (trees.occluded_duke, {"train": (6, 3), "query": (2, 2), "gallery": (6, 3)}),
    "occluded-reid": (trees.occluded_reid, {"query": (6, 3), "gallery": (6, 3)}),
    "p-dukemtmc": (trees.p_dukemtmc, {"train": (12, 3), "query": (4, 2), "gallery": (4, 2)}),
    "partial-reid": (trees.partial_reid, {"query": (6, 3), "gallery": (6, 3)}),
    "partial-reid-occluded": (trees.partial_reid, {"query": (6, 3), "gallery": (6, 3)}),
    "partial-ilids": (trees.partial_ilids, {"query": (3, 3), "gallery": (3, 3)}),
    "ltcc": (trees.ltcc, {"train": (6, 3), "query": (4, 2), "gallery": (8, 2)}),
    "prcc": (trees.prcc, {"train": (18, 3), "query": (8, 2), "gallery": (4, 2)}),
    "viper": (trees.viper, {"train": (6, 3), "query": (3, 3), "gallery": (3, 3)}),
    "grid": (trees.grid, {"train": (6, 3), "query": (3, 3), "gallery": (5, 3)}),
    "prid2011": (trees.prid2011, {"train": (6, 3), "query": (3, 3), "gallery": (5, 5)}),
    "ilids": (trees.ilids, {"train": (0, 3), "query": (4, 4), "gallery": (4, 4)}),
    "mars": (trees.mars, {"train": (12, 3), "query": (6, 2), "gallery": (14, 2)}),
}


def numbers(entries: list[Entry]) -> dict[str, tuple[int, int]]:
    """Return images and persons by split, without distractors."""
    splits = dict.fromkeys(entry.split for entry in entries)
    return {
        split: (
            sum(entry.split == split for entry in entries),
            len({entry.pid for entry in entries if entry.split == split} - {0}),
        )
        for split in splits
    }


@pytest.mark.parametrize("name", DATASETS)
def test_splits_and_checks(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make, expected = DATASETS[name]
    make(datasets)
    entries = sets.scan(name)
    counted = numbers(entries)
    if name == "ilids":  # how many images the training persons have depends on who they are
        expected = expected | {"train": (counted["train"][0], 3)}
        assert 6 <= counted["train"][0] <= 12
    assert counted == expected
    root = sets.dataset_root(name)
    assert all((root / entry.key).is_file() for entry in entries)

    assert list_dataset(name, tmp_path / "manifest.csv") == read_manifest(tmp_path / "manifest.csv")
    result = CliRunner().invoke(main, ["check", "--dataset", name])
    assert result.exit_code == 2, result.output
    assert "were published" in result.output

    published = {split: Count(*numbers) for split, numbers in expected.items()}
    whole = dataclasses.replace(sets.SETS[name], published=published, total=None, cameras=None)
    monkeypatch.setitem(sets.SETS, name, whole)
    result = CliRunner().invoke(main, ["check", "--dataset", name])
    assert result.exit_code == 0, result.output
    assert "as published" in result.output


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_folder_is_named(datasets: Path, name: str) -> None:
    make, _ = DATASETS[name]
    root = make(datasets)
    needed = [key.split("/")[0] for key in (entry.key for entry in sets.scan(name))]
    (root / needed[0]).rename(datasets / "elsewhere")
    with pytest.raises(DatasetError, match=rf"lacks .*{needed[0]}"):
        sets.scan(name)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("occluded-reid", "whole_body_images"),
        ("partial-ilids", "Probe"),
        ("prcc", "rgb/train"),
        ("viper", "cam_b"),
        ("grid", "gallery"),
        ("prid2011", "single_shot/cam_a"),
        ("ilids", "Persons"),
    ],
)
def test_an_empty_folder_and_a_foreign_name_are_named(datasets: Path, name: str, folder: str) -> None:
    make, _ = DATASETS[name]
    root = make(datasets)
    images = sorted(path for path in (root / folder).rglob("*") if path.is_file())
    images[0].rename(images[0].with_name(f"portrait{images[0].suffix}"))
    with pytest.raises(DatasetError, match=r"portrait\.\w+: expected a (name|path)"):
        sets.scan(name)
    for path in (root / folder).rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(DatasetError, match=f"{folder} has no image"):
        sets.scan(name)


def test_cameras_of_occluded_and_whole_images_differ(datasets: Path) -> None:
    for name in ("occluded-reid", "p-dukemtmc", "partial-reid", "partial-ilids"):
        DATASETS[name][0](datasets)
        cameras = {split: {e.camid for e in sets.scan(name) if e.split == split} for split in ("query", "gallery")}
        assert cameras == {"query": {1}, "gallery": {2}}
    assert {entry.pid for entry in sets.scan("partial-ilids")} == {1, 2, 119}  # its files may count from 0
    copied = trees.partial_ilids(datasets / "copy", ("partial_body_images", "whole_body_images"))
    assert [e.split for e in sets.scan("partial-ilids", copied)] == ["query"] * 3 + ["gallery"] * 3


def test_clothes_of_ltcc_and_prcc(datasets: Path, tmp_path: Path) -> None:
    trees.ltcc(datasets)
    trees.prcc(datasets)
    listed = {record.key: record for record in list_dataset("ltcc", tmp_path / "ltcc.csv")}
    one = listed["test/002_2_c9_000019.png"]
    assert (one.pid, one.clothes, one.camid, one.split) == (3, 2, 9, "gallery")  # persons count from 1
    assert (tmp_path / "ltcc.csv").read_text().splitlines()[0].endswith(",digest,clothes")
    by_camera = {(e.split, e.camid): {e.clothes} for e in sets.scan("prcc")}
    assert by_camera == {
        **{("train", camid): {clothes} for camid, clothes in ((1, 1), (2, 1), (3, 2))},
        ("gallery", 1): {1},
        ("query", 2): {1},
        ("query", 3): {2},
    }
    assert not any("val" in entry.key for entry in sets.scan("prcc"))
    (datasets / "prcc" / "rgb" / "train" / "002" / "D_cropped_rgb001.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"D_cropped_rgb001\.jpg: expected a path like"):
        sets.scan("prcc")
    (datasets / "ltcc" / "LTCC_ReID" / "query" / "001_0_c1_000001.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="clothes is 0, expected 1 to"):
        sets.scan("ltcc")


def test_ten_splits_test_different_halves(datasets: Path, tmp_path: Path) -> None:
    for name in ("viper", "grid", "prid2011", "ilids"):
        DATASETS[name][0](datasets)
        first = list_dataset(name, tmp_path / name / "manifest.csv")
        files = sorted((tmp_path / name / "protocols").glob("*.csv"))
        assert [path.stem for path in files] == [f"split{number:02}" for number in range(10)]
        assert read_manifest(files[0]) == first
        trained = [frozenset(r.pid for r in read_manifest(path, ["train"])) for path in files]
        assert {len(persons) for persons in trained} == {3}
        assert len(set(trained)) > 4
        for path in files:
            records = read_manifest(path)
            queries = [record for record in records if record.split == "query"]
            shown = [(record.pid, record.camid) for record in records if record.split == "gallery"]
            assert len({record.pid for record in queries}) == len(queries)
            for query in queries:  # one image of the person, from another camera
                assert [camid != query.camid for pid, camid in shown if pid == query.pid] == [True]


def test_a_split_is_what_the_page_says() -> None:
    order = sorted(range(1, 8), key=lambda pid: hashlib.sha256(f"viper 3 {pid}".encode()).digest())
    assert halves.shuffled(range(1, 8), "viper", 3) == order
    assert halves.tested([*range(1, 8), 1], "viper", 3, 3) == set(order[3:])
    found = [halves.tested(range(1, 633), "viper", split, 316) for split in range(10)]
    assert all(len(half) == 316 for half in found)
    assert all(120 < len(one & other) < 196 for one in found for other in found if one is not other)  # 158 expected


def test_grid_follows_its_authors_splits(datasets: Path) -> None:
    root = trees.grid(datasets)
    splits = sets.SETS["grid"].protocols
    assert splits is not None
    for number, entries in enumerate(splits(root).values()):
        assert {e.pid for e in entries if e.split == "train"} == {(number + k) % 6 + 1 for k in range(3)}
        assert [e.pid for e in entries if e.split == "gallery"].count(0) == 2
    savemat(root / "features_and_partitions.mat", {"trainIdxAll": np.array(["some", "text"], object)})
    with pytest.raises(DatasetError, match="is not GRID's list of splits"):
        sets.scan("grid")


def test_prids_persons_of_one_camera_are_distinct(datasets: Path) -> None:
    trees.prid2011(datasets)
    entries = sets.scan("prid2011")
    assert Counter(e.pid for e in entries)[201] == 1  # camera A's person 201 is another than camera B's
    assert {e.split for e in entries if e.pid > 200} == {"gallery"}


def test_tracklets_of_mars(datasets: Path, tmp_path: Path) -> None:
    root = trees.mars(datasets)
    entries = sets.scan("mars")
    assert not any(entry.pid == -1 for entry in entries)
    tracks = {e.tracklet: (e.split, e.pid, e.camid) for e in entries}
    assert Counter(split for split, _, _ in tracks.values()) == {"train": 6, "query": 2, "gallery": 5}
    assert tracks[9] == ("query", 2, 1)  # the third of the test's: 6 of training, junk, a distractor
    assert tracks[8] == ("gallery", 0, 2)
    assert Counter(e.tracklet for e in entries)[9] == 3
    records = list_dataset("mars", tmp_path / "manifest.csv")
    assert (tmp_path / "manifest.csv").read_text().splitlines()[0].endswith(",digest,tracklet")
    assert read_manifest(tmp_path / "manifest.csv") == records
    result = CliRunner().invoke(main, ["check", "--dataset", "mars"])
    lines = sorted(line.split() for line in result.output.splitlines()[:4])
    assert lines[0][-3:] == ["-", "-", "9330"]
    assert lines[1][-3:] == ["-", "-", "1980"]
    assert lines[2][:5] == ["split", "images", "identities", "tracklets", "cameras"]
    assert lines[3] == ["train", "12", "3", "6", "2", "509914", "625", "8298"]
    assert "query has 2 tracklets, 1,980 were published" in result.output

    info = loadmat(root / "info" / "tracks_test_info.mat")["track_test_info"]
    for change, message in (
        ((2, 1, 99), "lines 5 to 99"),
        ((2, 2, 4), "person 4 and camera 1, but"),
        ((1, 2, 2), "0002"),
    ):
        row, column, value = change
        wrong = info.copy()
        wrong[row, column] = value
        savemat(root / "info" / "tracks_test_info.mat", {"track_test_info": wrong})
        with pytest.raises(DatasetError, match=message):
            sets.scan("mars")
    savemat(root / "info" / "tracks_test_info.mat", {"track_test_info": info[:, :3]})
    with pytest.raises(DatasetError, match="expected a row of four numbers a tracklet"):
        sets.scan("mars")


def test_datasets_of_the_same_people_are_not_joined(datasets: Path) -> None:
    for name in ("occluded-duke+dukemtmcreid", "p-dukemtmc+occluded-duke", "ilids+partial-ilids", "mars+market1501"):
        with pytest.raises(DatasetError, match="show the same persons"):
            sets.dataset(name)
    trees.occluded_reid(datasets)
    trees.partial_reid(datasets)
    trees.market1501(datasets)
    joined = sets.scan("occluded-reid+market1501", datasets)
    assert numbers(joined) == {"query": (6, 3), "gallery": (6, 3), "train": (12, 4)}
    assert "occluded-reid+partial-reid" in sets.dataset("occluded-reid+partial-reid").title.replace(", ", "+")


def test_a_test_set_is_not_trained_on(datasets: Path, tmp_path: Path) -> None:
    trees.occluded_reid(datasets)
    list_dataset("occluded-reid", tmp_path / "manifest.csv")
    with pytest.raises(DatasetError, match=r"'train' is empty; .* It is a test set: train on another dataset"):
        read_manifest(tmp_path / "manifest.csv", ["train"])


def test_clothes_and_tracklets_of_a_users_own_table(datasets: Path, tmp_path: Path) -> None:
    trees.write_images(datasets / "own", ["a.png", "b.png", "c.png"])
    table = datasets / "own" / "dataset.csv"
    table.write_text(
        "path,pid,camid,split,Clothes,tracklet\na.png,1,1,train,,\nb.png,2,1,query,1,3\nc.png,2,2,gallery,2,4\n"
    )
    records = list_dataset("own", tmp_path / "manifest.csv")
    assert [(r.clothes, r.tracklet) for r in records] == [(0, 0), (1, 3), (2, 4)]
    assert read_manifest(tmp_path / "manifest.csv") == records
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    assert lines[0] == "key,split,pid,camid,width,height,digest,clothes,tracklet"
    for header in (lines[0].replace("clothes,tracklet", "tracklet,clothes"), f"{lines[0]},age"):
        (tmp_path / "other.csv").write_text("\n".join([header, *lines[1:]]))
        with pytest.raises(DatasetError, match="is not a manifest"):
            read_manifest(tmp_path / "other.csv")
    table.write_text("path,pid,camid,split,clothes\na.png,1,1,train,red\n")
    with pytest.raises(DatasetError, match="expected a whole number for clothes, found 'red'"):
        sets.scan("own")
