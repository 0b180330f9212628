"""The images below a folder: through links, never twice around a loop, and what is not listed is named."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.walk import images_below, list_files
from trees import market1501, write_images


def link(name: str, target: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)

    return make


def file(name: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"content")

    return make


@pytest.mark.parametrize(
    ("make", "images"),
    [
        (file("sub/deep/b.png"), ["sub/deep/b.png"]),
        (file("B.JPG"), ["B.JPG"]),
        (file("b.jfif"), ["b.jfif"]),
        (link("linked", "../other"), ["linked/1.png", "linked/x/2.png"]),
        (link("linked.png", "../other/1.png"), ["linked.png"]),
        (link("sub/linked", "../../other/x"), ["sub/linked/2.png"]),
        (link("gone.png", "nowhere.png"), ["gone.png"]),  # its reader says that it is missing
        (link("loop", "."), []),
        (link("sub/loop", ".."), []),
        (link("sub/parent", "../../tree"), []),
        (file("notes.txt"), []),
        (file("Thumbs.db"), []),
        (file(".DS_Store"), []),
        (file("__MACOSX/._a.png"), []),
        (link(".#a.png", "user@host"), []),  # an editor's lock
    ],
)
def test_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], images: list[str]
) -> None:
    write_images(tmp_path / "other", ["1.png", "x/2.png"])
    make(write_images(tmp_path / "tree", ["a.png"]))
    assert images_below(tmp_path / "tree") == sorted(["a.png", *images])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (file("b.gif"), r"1 files are left out, as their type is not read \(\.gif: 1\), first b\.gif"),
        (file("sub/b.HEIC"), r"\(\.HEIC: 1\), first sub/b\.HEIC"),
        (file("b"), r"\(no ending: 1\), first b"),
        (file("b.jpg~"), r"\(\.jpg~: 1\)"),
        (file("b.arw"), r"\(\.arw: 1\)"),
        (file(".hidden.png"), r"1 hidden images are left out, first \.hidden\.png"),
        (file(".thumbs/b.png"), r"1 hidden images are left out, first \.thumbs/b\.png"),
    ],
)
def test_what_is_left_out_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], message: str
) -> None:
    make(write_images(tmp_path / "tree", ["a.png"]))
    assert images_below(tmp_path / "tree") == ["a.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {tmp_path / 'tree'}: ")
    assert re.search(message, line)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link("gone", "nowhere"), "tree/gone is a link to nowhere, which does not exist"),
        (
            lambda root: (root / os.fsdecode(b"b\xff.png")).write_bytes(b""),
            r"the file name 'b\\udcff\.png' is not UTF-8",
        ),
    ],
)
def test_what_cannot_be_listed_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(write_images(tmp_path / "tree", ["a.png"]))
    with pytest.raises(DatasetError, match=message):
        list_files(tmp_path / "tree")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        list_files(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["shop", "market1501"])
def test_datasets_take_sub_folders_and_links_and_name_the_rest(
    datasets: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = market1501(datasets, name)
    write_images(root / "bounding_box_train", ["more/0011_c1s1_000451_03.png"])
    write_images(datasets.parent / "disk", ["0012_c1s1_000451_03.png"])
    (root / "bounding_box_train" / "linked").symlink_to(datasets.parent / "disk")
    (root / "query" / "0001_c3s1_000001_00.gif").write_bytes(b"GIF")
    keys = [entry.key for entry in sets.scan(name)]
    assert len(keys) == 30
    assert "bounding_box_train/more/0011_c1s1_000451_03.png" in keys
    assert "bounding_box_train/linked/0012_c1s1_000451_03.png" in keys
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {root / 'query'}: 1 files are left out")


def test_a_folder_under_a_link_of_itself_is_listed_once_by_each_name(tmp_path: Path) -> None:
    """Two folders that link to each other: every way that does not go back is followed, and the walk ends."""
    write_images(tmp_path, ["x/1.png", "y/2.png"])
    (tmp_path / "x" / "to_y").symlink_to("../y")
    (tmp_path / "y" / "to_x").symlink_to("../x")
    assert list_files(tmp_path).images == ["x/1.png", "x/to_y/2.png", "y/2.png", "y/to_x/1.png"]
