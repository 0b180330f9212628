"""CUHK01: the committed splits are reproducible, and are applied to a tiny dataset."""

import random
from collections import Counter
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.listing import list_dataset
from dsa_data.records import read_manifest
from dsa_data.sets.cuhk01 import read_splits


@pytest.mark.parametrize("tested", [486, 100])
def test_the_committed_splits_are_sampled_again(tested: int) -> None:
    splits = read_splits(tested)
    assert len(splits) == 10
    for number, persons in enumerate(splits):
        assert persons == sorted(random.Random(f"cuhk01 {tested} {number}").sample(range(1, 972), tested))


@pytest.mark.parametrize("name", ["cuhk01", "cuhk01-100"])
def test_entries_and_protocols(datasets: Path, tmp_path: Path, name: str) -> None:
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


def test_an_unexpected_name_and_a_wrong_root_are_reported(datasets: Path) -> None:
    root = trees.cuhk01(datasets)
    with pytest.raises(DatasetError, match=r"cuhk01 has this layout: move its content to .*campus"):
        sets.scan("cuhk01", root / "campus")
    (root / "campus" / "0001005.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"0001005\.png: expected a name like 0001001\.png"):
        sets.scan("cuhk01")
