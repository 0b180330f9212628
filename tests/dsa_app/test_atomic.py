"""Whole or not at all: the old file until the new one is complete."""

import errno
import os
from pathlib import Path

import pytest

from dsa_app.atomic import whole


def test_takes_the_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    with whole(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


def failing(path: Path, error: BaseException) -> None:
    with whole(path) as part:
        part.write_text("ha")
        raise error


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        failing(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_says_of_which_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as raised:
        failing(tmp_path / "a.txt", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert raised.value.filename == str(tmp_path / "a.txt")


def test_another_error_keeps_its_own_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, whole(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
    assert raised.value.filename == str(tmp_path / "other")
