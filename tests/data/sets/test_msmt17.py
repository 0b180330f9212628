"""MSMT17: both versions, identities of training and test stay distinct, invalid lists."""

from collections import Counter
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError, ImageError
from dsa_data import sets
from dsa_data.listing import list_dataset


@pytest.mark.parametrize("version", [1, 2])
def test_entries(datasets: Path, version: int) -> None:
    root = trees.msmt17(datasets, version)
    entries = sets.scan("msmt17")
    assert Counter(e.split for e in entries) == {"train": 16, "query": 3, "gallery": 9}
    assert Counter(e.split for e in sets.scan("msmt17-train"))["train"] == 12
    pids = {split: {e.pid for e in entries if e.split == split} for split in ("train", "query", "gallery")}
    assert pids["train"] == {1, 2, 3, 4}
    assert pids["query"] == pids["gallery"] == {10001, 10002, 10003}  # both lists count from 0
    assert (entries[1].camid, Path(entries[1].key).name[:13]) == (8, "0000_001_08_0")
    assert all((root / entry.key).exists() for entry in entries)


def test_invalid_lists_and_folders_are_reported(datasets: Path) -> None:
    root = trees.msmt17(datasets, version=1)
    lines = (root / "list_query.txt").read_text()
    for line, message in (
        ("0000/0000_000.jpg 0", "expected an image and its identity"),
        ("0000/0000_000_01_x.jpg zero", "expected a whole number for pid, found 'zero'"),
        ("one", "expected an image and its identity"),
    ):
        (root / "list_query.txt").write_text(f"{lines}\n{line}\n")
        with pytest.raises(DatasetError, match=rf"list_query\.txt, line 5: {message}"):
            sets.scan("msmt17")
    (root / "list_query.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"list_query\.txt lists no image"):
        sets.scan("msmt17")
    (root / "list_query.txt").unlink()
    with pytest.raises(DatasetError, match=r"lacks list_query\.txt"):
        sets.scan("msmt17")
    (root / "list_query.txt").write_text(lines)
    trees.msmt17(datasets, version=2)
    with pytest.raises(DatasetError, match="has the images of both versions"):
        sets.scan("msmt17")
    root.rename(datasets / "MSMT17_V1")
    (root / "MSMT17_V2").mkdir(parents=True)
    (datasets / "MSMT17_V1").rename(root / "MSMT17_V1")
    with pytest.raises(DatasetError, match="has both MSMT17_V1 and MSMT17_V2"):
        sets.scan("msmt17")


def test_a_listed_image_that_is_missing_is_reported(datasets: Path, tmp_path: Path) -> None:
    root = trees.msmt17(datasets)
    (root / sets.scan("msmt17")[0].key).unlink()
    with pytest.raises(ImageError, match=r"0000_000_01_0303morning_0008_0\.jpg is missing"):
        list_dataset("msmt17", tmp_path / "manifest.csv")
