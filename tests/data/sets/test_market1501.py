"""Market-1501 and datasets of its layout: entries, unexpected files, multi-queries, and errors."""

import shutil
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.listing import list_dataset
from dsa_data.records import read_manifest


def test_market_entries(datasets: Path) -> None:
    trees.market1501(datasets)
    entries = sets.scan("market1501")
    assert {split: sum(e.split == split for e in entries) for split in ("train", "query", "gallery")} == {
        "train": 12,
        "query": 6,
        "gallery": 10,  # nine and the distractor; junk is left out
    }
    assert {e.pid for e in entries if e.split == "gallery"} == {0, 1, 3, 5}
    assert {e.pid for e in entries if e.split == "train"} == {2, 7, 9, 1500}


def test_multi_queries_are_the_boxes_of_a_query_by_its_camera(datasets: Path, tmp_path: Path) -> None:
    root = trees.market1501(datasets)
    manifest = tmp_path / "m" / "manifest.csv"
    listed = list_dataset("market1501", manifest)
    assert not any("gt_bbox" in record.key for record in listed)
    records = read_manifest(tmp_path / "m" / "protocols" / "multiquery.csv", ["multiquery"])
    names = [Path(record.key).name for record in records]
    # 0001 has a further box by camera 1, which has a query, and by 6, which has none; 0002 is a training identity
    assert names == sorted([*(path.name for path in (root / "query").iterdir()), "0001_c1s1_000076_00.jpg"])
    shutil.rmtree(root / "gt_bbox")
    list_dataset("market1501", manifest)
    assert not list((tmp_path / "m" / "protocols").iterdir())


def test_500k_images_are_all_distractors(datasets: Path) -> None:
    trees.market1501_500k(datasets)
    before, entries = sets.scan("market1501"), sets.scan("market1501-500k")
    assert [entry for entry in entries if not entry.key.startswith("images/")] == before
    assert [(e.key, e.split, e.pid, e.camid) for e in entries if e not in before] == [
        ("images/0000_c1s1_000001_00.jpg", "gallery", 0, 1),
        ("images/0000_c3s1_000002_00.jpg", "gallery", 0, 3),
        ("images/0001_c2s1_000003_00.jpg", "gallery", 0, 2),
    ]
    assert all((sets.dataset_root("market1501-500k") / entry.key).exists() for entry in entries)
    with pytest.raises(DatasetError, match="show the same persons"):
        sets.dataset("market1501+market1501-500k")


def test_500k_without_its_folder_is_refused(datasets: Path) -> None:
    root = trees.market1501(datasets)
    with pytest.raises(DatasetError, match=r"market1501 lacks images\. Download distractors_500k\.zip"):
        sets.scan("market1501-500k")
    (root / "images").mkdir()
    (root / "images" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"images/holiday\.jpg: expected a name like"):
        sets.scan("market1501-500k")


def test_duke_entries(datasets: Path) -> None:
    trees.dukemtmcreid(datasets)
    entries = sets.scan("dukemtmcreid")
    first = next(e for e in entries if e.split == "train")
    assert (first.key, first.pid, first.camid) == ("bounding_box_train/0001_c2_f0046121.jpg", 1, 2)
    assert [sum(e.split == split for e in entries) for split in ("train", "query", "gallery")] == [6, 2, 5]


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_cuhk03_np_entries(datasets: Path, boxes: str) -> None:
    root = trees.cuhk03_np(datasets)
    entries = sets.scan(f"cuhk03-np-{boxes}")
    assert sets.dataset_root(f"cuhk03-np-{boxes}") == root / boxes
    assert [sum(e.split == split for e in entries) for split in ("train", "query", "gallery")] == [12, 4, 8]
    assert {e.camid for e in entries} == {1, 2}


def test_the_nearest_folder_of_this_layout_is_named(datasets: Path) -> None:
    right = trees.market1501(datasets, "unpacked")
    (datasets / "market1501").mkdir()
    right.rename(datasets / "market1501" / "market")
    with pytest.raises(DatasetError, match=r"lacks bounding_box_train, query.*market1501/market has this layout: move"):
        sets.scan("market1501")
    with pytest.raises(DatasetError, match=r"market1501/market has this layout"):
        sets.scan("market1501", datasets / "market1501" / "market" / "query")


def test_the_archives_folder_may_stay(datasets: Path) -> None:
    right = trees.market1501(datasets, "unpacked")
    before = sets.scan("market1501", right)
    (datasets / "market1501").mkdir()
    right.rename(datasets / "market1501" / "Market-1501-v15.09.15")
    assert sets.scan("market1501") == before
    assert sets.dataset_root("market1501").name == "Market-1501-v15.09.15"
    trees.dukemtmcreid(datasets)
    keys = [entry.key for entry in sets.scan("dukemtmcreid+market1501")]
    assert all((sets.dataset_root("dukemtmcreid+market1501") / key).exists() for key in keys)


def test_a_missing_folder_is_reported(datasets: Path) -> None:
    root = trees.market1501(datasets)
    shutil.rmtree(root / "bounding_box_test")
    with pytest.raises(DatasetError, match=r"lacks bounding_box_test\. Expected Market-1501's layout"):
        sets.scan("market1501")
    with pytest.raises(DatasetError, match="Download Market-1501-v15"):
        sets.scan("market1501", datasets / "nowhere")


def test_an_unexpected_name_is_reported(datasets: Path) -> None:
    root = trees.market1501(datasets)
    odd = root / "query" / "holiday.jpg"
    odd.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"holiday\.jpg: expected a name like 0002_c1s1_000451_03\.jpg"):
        sets.scan("market1501")
    odd.rename(root / "query" / "._0001_c1s1_000001_00.jpg")  # macOS leaves such files; they are hidden, no images
    assert len(sets.scan("market1501")) == 28


@pytest.mark.parametrize("folder", ["bounding_box_train", "query"])
def test_a_distractor_outside_the_gallery_is_refused(datasets: Path, folder: str) -> None:
    """In a dataset whose identities count from 0, the first person would otherwise be taken for a distractor."""
    root = trees.market1501(datasets, "shop")
    shutil.copy(root / "query" / "0003_c1s1_000301_00.jpg", root / folder / "0000_c1s1_000301_00.jpg")
    with pytest.raises(DatasetError, match=rf"{folder}/0000_c1s1_000301_00\.jpg: identity 0 is a distractor"):
        sets.scan("shop")


def test_an_identity_in_training_and_test_is_refused(datasets: Path) -> None:
    root = trees.market1501(datasets)
    shutil.copy(root / "query" / "0003_c1s1_000301_00.jpg", root / "bounding_box_train")
    message = r"1 identities are both in training and in test, first 3 \(bounding_box_train/0003.*, query/0003"
    with pytest.raises(DatasetError, match=message):
        sets.scan("market1501")
