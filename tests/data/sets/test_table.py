"""A user's own folders and tables, and unknown names."""

import unicodedata
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.listing import list_dataset


def test_a_folder_in_market1501s_layout(datasets: Path) -> None:
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


def test_a_table(datasets: Path, tmp_path: Path) -> None:
    root = trees.write_images(datasets / "mine", ["a/1.png", "a/2.png", "b c/3.png", "4.png", "5.png"])
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
        ("a/1.png,4,1", "a/1.png,four,1", "line 2: expected a whole number for pid, found 'four'"),
        ("a/1.png,4,1", "a/1.png,4", "line 2: 3 fields, expected 4"),
        ("a/1.png,4,1", "a/1.png,-2,1", "line 2: pid is -2, expected -1 to"),
        ("a/1.png,4,1", "a/1.png,0,1", "line 2: identity 0 is a distractor"),
        ("train,a", "trian,a", "line 2: unknown split 'trian'. Did you mean 'train'"),
        ("a/1.png,4,1", "a/1,b.png,4,1", "line 2: 5 fields, expected 4. Put a path that has a delimiter in quotes"),
        ("a/1.png,4,1", "C:\\shop\\1.png,4,1", "line 2: expected a path below"),
        ("query,a", "test,a", "line 3: the split 'test' does not say which images are searched for. Write 'query'"),
        ("split,path,pid", "split,path,PID,pid", "has a column twice"),
        ("a/1.png,4,1", "a/1.png,7,1", r"1 identities are both in training and in test, first 7"),
    ],
)
def test_invalid_tables_are_reported(datasets: Path, old: str, new: str, message: str) -> None:
    (datasets / "mine").mkdir()
    (datasets / "mine" / "dataset.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        sets.scan("mine")


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("split,path,pid,camid", "Split,PATH,Pid,camID"),
        TABLE.replace("train,", "Train,").replace("query,", "QUERY,"),
        TABLE.replace("/", "\\"),
        TABLE.replace("a/", "./a/"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\n\n"),
        TABLE.replace("train,", " train , "),
        TABLE.replace("b c/3.png", '"b c/3.png"'),
        TABLE.replace("split,", "note,split,")
        .replace("train,", "x,train,")
        .replace("query,", ",query,")
        .replace("gallery,", ",gallery,"),
    ],
    ids=[
        "semicolon",
        "tab",
        "header",
        "splits",
        "backslash",
        "dot",
        "crlf",
        "empty lines",
        "spaces",
        "quotes",
        "more columns",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_others_forms_of_a_table(datasets: Path, text: str, encoding: str) -> None:
    root = trees.write_images(datasets / "mine", ["a/1.png", "a/2.png", "b c/3.png", "4.png", "5.png"])
    (root / "dataset.csv").write_text(TABLE)
    expected = sets.scan("mine")
    (root / "dataset.csv").write_bytes(text.encode(encoding))
    assert sets.scan("mine") == expected


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_names_in_another_unicode_form_are_those_of_the_disk(
    datasets: Path, tmp_path: Path, on_disk: str, in_table: str
) -> None:
    name = "ä/ö é.png"
    root = trees.write_images(datasets / "mine", [unicodedata.normalize(on_disk, name)])
    (root / "dataset.csv").write_text(f"path,pid,camid,split\n{unicodedata.normalize(in_table, name)},1,1,train\n")
    (record,) = list_dataset("mine", tmp_path / "manifest.csv")
    assert record.key == unicodedata.normalize(on_disk, name)


def test_a_name_with_a_backslash_is_that_file(datasets: Path) -> None:
    root = trees.write_images(datasets / "mine", ["a\\b.png"])
    (root / "dataset.csv").write_text("path,pid,camid,split\na\\b.png,1,1,train\n")
    assert [entry.key for entry in sets.scan("mine")] == ["a\\b.png"]


def test_an_empty_table_is_reported(datasets: Path) -> None:
    (datasets / "mine").mkdir()
    (datasets / "mine" / "dataset.csv").write_text(TABLE.splitlines()[0] + "\ntrain,5.png,-1,1\n")
    with pytest.raises(DatasetError, match=r"dataset\.csv lists no image"):
        sets.scan("mine")


def test_a_path_outside_the_parent_folder_is_refused(datasets: Path) -> None:
    (datasets.parent / "secret").mkdir()
    with pytest.raises(DatasetError, match="Unknown dataset"):
        sets.dataset("../secret")
    (datasets / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty is not a dataset\. Expected bounding_box_train"):
        sets.dataset("empty")
