"""Numbers in files: checked where they are read, with file, line and the value, shortened."""

from collections.abc import Callable
from pathlib import Path

import pytest

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.numbers import GREATEST, whole
from dsa_data.records import read_manifest

DIGEST = "0f" * 32


@pytest.mark.parametrize("text", ["0", "7", " 7 ", "007", "-0", "+3", str(GREATEST), "0" * 5000 + "1"])
def test_numbers(text: str) -> None:
    assert whole(text, "pid", "a.csv, line 2") == int(text.strip()[-20:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234567890123456789012", r"a\.csv, line 2: pid is 1234567890123456789012, expected 0 to 90"),
        ("9" * 5000, r"pid is 9{49}…9{49}, expected 0"),
        (str(GREATEST + 1), "pid is 9007199254740992, expected 0 to 9007199254740991"),
        ("-1", "pid is -1, expected 0"),
        ("-" + "9" * 5000, r"pid is -9{48}…9{49}, expected 0"),
        ("", "expected a whole number for pid, found ''"),
        ("1.0", "found '1.0'"),
        ("1e3", "found '1e3'"),
        ("1_000", "found '1_000'"),
        ("٣", "expected a whole number"),
        ("nan", "found 'nan'"),
        ("x" * 999, r"found 'x{48}…x{48}'"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        whole(text, "pid", "a.csv, line 2")


def table(line: str) -> Callable[[Path], None]:
    def make(datasets: Path) -> None:
        trees.write_images(datasets / "mine", ["a.png"])
        (datasets / "mine" / "dataset.csv").write_text(f"path,pid,camid,split\n{line}\n")

    return make


def market(name: str) -> Callable[[Path], None]:
    def make(datasets: Path) -> None:
        trees.write_images(trees.market1501(datasets, "mine"), [name])

    return make


def msmt17(name: str, line: str) -> Callable[[Path], None]:
    def make(datasets: Path) -> None:
        with (trees.msmt17(datasets) / name).open("a") as file:
            file.write(line)

    return make


LONG = "1234567890123456789012"


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (table(f"a.png,{LONG},1,train"), "mine", r"dataset\.csv, line 2: pid is 1234567890123456789012, expected"),
        (table(f"a.png,1,{LONG},train"), "mine", r"dataset\.csv, line 2: camid is 1234567890123456789012, expected"),
        (
            market(f"query/{LONG}_c1s1_000001_00.jpg"),
            "mine",
            r"query/1234.*\.jpg: pid is 1234567890123456789012, expected",
        ),
        (
            market(f"query/0001_c{LONG}s1_000001_00.jpg"),
            "mine",
            r"query/0001_c.*\.jpg: camid is 1234567890123456789012, expected",
        ),
        (market("query/٣_c1s1_000001_00.jpg"), "mine", "expected a name like"),
        (msmt17("list_train.txt", f"0/0_0_01_a.jpg {LONG}\n"), "msmt17", r"list_train\.txt, line 13: pid is 1234567"),
        (msmt17("list_query.txt", f"0/0_0_{LONG}_a.jpg 1\n"), "msmt17", r"list_query\.txt, line 4: camid is 1234567"),
        (msmt17("list_query.txt", "0/0_0_01_a.jpg -5\n"), "msmt17", r"list_query\.txt, line 4: pid is -5"),
    ],
)
def test_where_datasets_are_read(datasets: Path, make: Callable[[Path], None], name: str, message: str) -> None:
    make(datasets)
    with pytest.raises(DatasetError, match=message):
        sets.scan(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"a.png,train,{LONG},1,4,8,{DIGEST}", "line 2: pid is 1234567890123456789012, expected"),
        (f"a.png,train,1,{LONG},4,8,{DIGEST}", "line 2: camid is 1234567890123456789012, expected"),
        (f"a.png,train,1,1,{2**31},8,{DIGEST}", "line 2: width is 2147483648, expected 1 to 2147483647"),
        (f"a.png,train,1,1,4,0,{DIGEST}", "line 2: height is 0, expected 1"),
        ("a.png,train,1,1,4,8,abc", "line 2: expected a SHA-256 for digest, found 'abc'"),
        (f"a.png,train,one,1,4,8,{DIGEST}", "line 2: expected a whole number for pid, found 'one'"),
    ],
)
def test_where_manifests_are_read(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(f"key,split,pid,camid,width,height,digest\n{line}\n")
    with pytest.raises(DatasetError, match=rf"manifest\.csv, {message}"):
        read_manifest(path)
