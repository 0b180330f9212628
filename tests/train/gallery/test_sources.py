"""The images of a folder: those that every command lists, through links, and those that are left out are named."""

from pathlib import Path

import pytest

from densepose_extract.target import folder_entries
from dsa_train.gallery.sources import image_files, in_folder
from trees import write_images


def test_all_commands_list_the_same_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_images(tmp_path / "images", ["a.png", "sub/b.jpg"])
    write_images(tmp_path / "disk", ["c.png"])
    (root / "linked").symlink_to(tmp_path / "disk")
    (root / "sub" / "loop").symlink_to(root)
    (root / "d.heic").write_bytes(b"an image of a phone")
    keys = ["a.png", "linked/c.png", "sub/b.jpg"]
    assert [source.key for source in in_folder(root)] == keys
    assert all(source.digest for source in in_folder(root))
    assert image_files(root) == [root / key for key in keys]
    assert [entry.key for entry in folder_entries(root)] == keys
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all("1 files are left out, as their type is not read (.heic: 1), first d.heic" in line for line in lines)


def test_maps_beside_the_images_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_images(tmp_path / "images", ["a.png", "a_IUV.png", "sub/b.jpg", "sub/b.jpg_iuv.png"])
    assert [source.key for source in in_folder(root)] == ["a.png", "sub/b.jpg"]
    assert "2 I, U, V maps are left out, first a_IUV.png" in capsys.readouterr().err
