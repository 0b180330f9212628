"""The manifest: the same folder gives the same bytes; what is wrong with a folder is reported."""

from pathlib import Path

import pytest

from dsa_app.errors import DatasetError, ImageError
from dsa_data import sets
from dsa_data.records import Entry, index, read_manifest, write_manifest


def test_records_of_a_small_dataset(market: Path) -> None:
    records = index(market, sets.scan("market1501", market))
    assert [r.key for r in records] == sorted(r.key for r in records)
    count = {split: sum(r.split == split for r in records) for split in ("train", "query", "gallery")}
    assert count == {"train": 6, "query": 3, "gallery": 7}  # junk and Thumbs.db are left out
    first = next(r for r in records if r.key == "bounding_box_train/0002_c1s1_000002_01.jpg")
    assert (first.pid, first.camid, first.width, first.height) == (2, 1, 12, 24)
    assert {r.pid for r in records if r.split == "gallery"} == {0, 1, 3, 5}  # a distractor stays


def test_a_manifest_has_the_same_bytes_with_any_number_of_workers(market: Path, tmp_path: Path) -> None:
    entries = sets.scan("market1501", market)
    one = write_manifest(index(market, entries), tmp_path / "one.csv")
    two = write_manifest(index(market, entries[::-1], jobs=2), tmp_path / "two.csv")
    assert one.read_bytes() == two.read_bytes()
    assert read_manifest(one) == index(market, entries)
    assert {r.split for r in read_manifest(one, ["query"])} == {"query"}


def test_an_empty_split_is_named(market: Path, tmp_path: Path) -> None:
    manifest = write_manifest(index(market, sets.scan("market1501", market)), tmp_path / "m.csv")
    with pytest.raises(DatasetError, match=r"'val' is empty; splits with images: gallery, query, train"):
        read_manifest(manifest, ["val"])
    for path in (market / "query").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="query has no image for the split 'query'"):
        sets.scan("market1501", market)


@pytest.mark.parametrize("name", ["x" * 5000, "synthetic-" + "x" * 5000, "a\0b", "\ud800", "../../etc"], ids=ascii)
def test_names_that_no_folder_has(name: str) -> None:
    with pytest.raises(DatasetError, match="Unknown dataset") as error:
        sets.dataset(name)
    assert len(str(error.value)) < 500


def test_an_unknown_dataset_is_reported_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match=r"'market'\. Did you mean 'market1501'"):
        sets.dataset("market")


def test_a_damaged_image_is_named(market: Path) -> None:
    path = sorted((market / "query").iterdir())[1]
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=path.name):
            index(market, sets.scan("market1501", market))


def test_a_key_that_occurs_twice_is_refused(market: Path) -> None:
    entry = Entry("query/0001_c1s1_000001_00.jpg", "query", 1, 1)
    with pytest.raises(DatasetError, match="occur twice, first query/0001"):
        index(market, [entry, entry])


def test_identity_in_training_and_test(market: Path) -> None:
    (market / "query" / "0002_c3s1_000000_00.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="1 identities are both in training and in test, first 2"):
        sets.scan("market1501", market)


@pytest.mark.parametrize("text", ["", "a,b\n", "\xff"])
def test_another_file_than_a_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="latin1")
    with pytest.raises(DatasetError, match="is not a manifest"):
        read_manifest(path)
