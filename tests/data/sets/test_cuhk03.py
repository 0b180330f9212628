"""CUHK03: the authors' file is unpacked once, the published lists are read, both protocols, damaged files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import trees
from dsa_app.errors import BusyError, DatasetError
from dsa_app.lock import locked
from dsa_data import images, sets
from dsa_data.listing import list_dataset
from dsa_data.records import read_manifest
from dsa_data.sets import cuhk03_unpack
from dsa_data.sets.cuhk03 import COUNTS, read_new_protocol


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_the_published_lists(shared: Path, boxes: str) -> None:
    protocol = read_new_protocol(shared / "splits" / f"cuhk03_new_protocol_config_{boxes}.mat")
    assert Counter(protocol.splits) == {split: count.images for split, count in COUNTS[boxes].items()}
    pids = {
        s: {p for p, split in zip(protocol.pids, protocol.splits, strict=True) if split == s} for s in COUNTS[boxes]
    }
    assert {split: len(members) for split, members in pids.items()} == {"train": 767, "query": 700, "gallery": 700}
    assert not pids["train"] & pids["query"]
    assert pids["query"] == pids["gallery"]
    assert protocol.files[:2] == ["1_001_1_01.png", "1_001_1_02.png"]
    assert protocol.files[-1] == "5_049_2_10.png"
    assert (protocol.pids[0], protocol.pids[-1]) == (1, 1467)
    assert [int(name[6]) for name in protocol.files] == protocol.camids
    queries = Counter(
        (pid, c) for pid, c, s in zip(protocol.pids, protocol.camids, protocol.splits, strict=True) if s == "query"
    )
    assert set(queries.values()) == {1}  # each test identity has one query from each camera
    first_query = protocol.splits.index("query")
    assert (first_query, protocol.files[first_query]) == (21, "1_003_1_02.png")


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_entries_of_the_new_protocol(datasets: Path, boxes: str) -> None:
    root = trees.cuhk03(datasets)
    entries = sets.scan(f"cuhk03-{boxes}")
    assert [entry.key for entry in entries] == [f"images_{boxes}/{name}" for name in trees.cuhk03_names()]
    assert len(entries) == 10 * 10 - 2 - 3  # empty cells have no image
    assert len({e.pid for e in entries if e.split == "train"}) == 6
    assert Counter(e.split for e in entries)["query"] == 4 * 2
    cell = 1 + (0 if boxes == "labeled" else 1000)  # the first cell that `trees.cuhk03` filled
    np.testing.assert_array_equal(images.read(root / entries[0].key), trees.noise_image(cell))


def test_it_is_unpacked_once_and_the_file_can_be_deleted(datasets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = trees.cuhk03(datasets)
    (root / "cuhk03_release").mkdir()
    (root / "cuhk-03.mat").rename(root / "cuhk03_release" / "cuhk-03.mat")  # where the archive has it
    first = sets.scan("cuhk03-labeled")
    assert "unpacking the labeled images" in capsys.readouterr().err
    (root / "cuhk03_release" / "cuhk-03.mat").unlink()
    assert sets.scan("cuhk03-labeled") == first
    assert len(sets.scan("cuhk03-classic-labeled")) == len(first)
    assert "unpacking" not in capsys.readouterr().err
    with pytest.raises(DatasetError, match=r"cuhk-03\.mat is missing\. Ask its authors"):
        sets.scan("cuhk03-detected")


def test_a_killed_unpacking_is_resumed(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.cuhk03(datasets)
    written: list[Path] = []

    def stopped(path: Path, image: np.ndarray) -> Path:
        if len(written) == 30:
            raise KeyboardInterrupt
        written.append(path)
        return images.write_png(path, image)

    with monkeypatch.context() as patched:
        patched.setattr(cuhk03_unpack, "write_png", stopped)
        with pytest.raises(KeyboardInterrupt):
            sets.scan("cuhk03-labeled")
    before = {path: path.stat().st_mtime_ns for path in written}
    assert not (root / "images_labeled" / "unpacked.json").exists()
    assert len(sets.scan("cuhk03-labeled")) == len(trees.cuhk03_names())
    assert {path: path.stat().st_mtime_ns for path in written} == before


def test_a_second_process_is_refused(datasets: Path) -> None:
    folder = trees.cuhk03(datasets) / "images_labeled"
    folder.mkdir()
    with locked(folder, "held"), pytest.raises(BusyError, match="Another process is unpacking"):
        sets.scan("cuhk03-labeled")


def test_a_deleted_image_is_reported(datasets: Path) -> None:
    root = trees.cuhk03(datasets)
    key = sets.scan("cuhk03-labeled")[4].key
    (root / key).unlink()
    with pytest.raises(DatasetError, match=r"lacks 1 of its 95 images, first 1_001_1_05\.png"):
        sets.scan("cuhk03-labeled")
    (root / "images_labeled" / "unpacked.json").write_text("{")
    with pytest.raises(DatasetError, match=r"unpacked\.json is damaged \(.*\)\. Delete it"):
        sets.scan("cuhk03-labeled")
    (root / "images_labeled" / "unpacked.json").unlink()
    assert (root / sets.scan("cuhk03-labeled")[4].key).exists()


def test_a_file_cut_short_or_of_another_type_is_reported(datasets: Path) -> None:
    root = trees.cuhk03(datasets)
    mat = root / "cuhk-03.mat"
    whole = mat.read_bytes()
    for content in (b"", b"MATLAB 5.0 MAT-file", whole[: len(whole) // 2]):
        mat.write_bytes(content)
        with pytest.raises(DatasetError, match=r"cuhk-03\.mat cannot be read as CUHK03's file"):
            sets.scan("cuhk03-labeled")


def test_invalid_lists_are_reported(datasets: Path) -> None:
    root = trees.cuhk03(datasets)
    lists = root / "cuhk03_new_protocol_config_labeled.mat"
    names = trees.cuhk03_names()
    trees.write_new_protocol(lists, [*names, "5_002_1_01.png"])
    with pytest.raises(DatasetError, match=r"lacks 1 of the 96 images that the protocol lists, first 5_002_1_01\.png"):
        sets.scan("cuhk03-labeled")
    trees.write_new_protocol(lists, names, query_idx=np.array([[1]], np.uint16))
    with pytest.raises(DatasetError, match="does not put each of its 95 images into exactly one split"):
        sets.scan("cuhk03-labeled")
    trees.write_new_protocol(lists, names, query_idx=np.array([[4000]], np.uint16))
    with pytest.raises(DatasetError, match="is not the new protocol's list"):
        sets.scan("cuhk03-labeled")
    lists.write_bytes(lists.read_bytes()[:200])
    with pytest.raises(DatasetError, match="is not the new protocol's list"):
        sets.scan("cuhk03-labeled")
    lists.unlink()
    with pytest.raises(DatasetError, match=r"is missing\. Put cuhk03_new_protocol_config_labeled"):
        sets.scan("cuhk03-labeled")


def test_entries_of_the_classic_splits(datasets: Path, tmp_path: Path) -> None:
    trees.cuhk03(datasets)
    listed = list_dataset("cuhk03-classic-labeled", tmp_path / "manifest.csv")
    assert {r.pid for r in listed if r.split != "train"} == {1001, 2001}  # pair 1, person 1; pair 2, person 1
    assert {(r.split, r.camid) for r in listed if r.pid == 2001} == {("query", 1), ("gallery", 2)}
    protocols = sorted((tmp_path / "protocols").iterdir())
    assert [path.name for path in protocols] == [f"split{number:02}.csv" for number in range(20)]
    assert protocols[0].read_bytes() == (tmp_path / "manifest.csv").read_bytes()
    fifth = read_manifest(protocols[5])
    assert {r.pid for r in fifth if r.split != "train"} == {1002, 2003}
    assert [(r.key, r.digest) for r in fifth] == [(r.key, r.digest) for r in listed]
    assert sets.dataset("cuhk03-classic-labeled").gallery == "single-shot"
