"""Whole or not at all: the old file until the new one is complete."""

import ctypes
import errno
import fcntl
import os
from pathlib import Path

import pytest

from dsa_reid.atomic import acquire, atomic, flush_all, write_atomic


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    with atomic(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


def failing(path: Path, error: BaseException) -> None:
    with atomic(path) as part:
        part.write_text("ha")
        raise error


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        failing(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as raised:
        failing(tmp_path / "a.txt", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert raised.value.filename == str(tmp_path / "a.txt")


def test_another_error_keeps_its_own_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, atomic(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
    assert raised.value.filename == str(tmp_path / "other")


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    behind = tmp_path / "large disk" / "a.txt"
    behind.parent.mkdir()
    (tmp_path / "a.txt").symlink_to(behind)
    write_atomic(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").is_symlink()
    assert behind.read_bytes() == b"new"
    assert os.listdir(behind.parent) == ["a.txt"]


def test_two_writers_have_a_temporary_file_each(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path) as first, atomic(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert path.read_text() == "first"  # the outer one ends last
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_temporary_file_of_a_killed_writer_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt.part").write_text("half of something longer")
    write_atomic(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_file_and_folder_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (flushed.append(os.fstat(descriptor).st_ino), fsync(descriptor))
    )
    write_atomic(tmp_path / "a.txt", b"new")
    assert flushed == [(tmp_path / "a.txt").stat().st_ino, tmp_path.stat().st_ino]


def test_a_lock_is_of_the_present_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = acquire(path, wait=False)
    assert held is not None
    assert acquire(path, wait=False) is None
    path.unlink()
    again = acquire(path, wait=False)  # another file: the removed one guards nothing any more
    assert again is not None
    os.close(held)
    os.close(again)


def test_an_error_removes_the_folders_that_were_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyboardInterrupt):
        failing(tmp_path / "there" / "new" / "newer" / "a.txt", KeyboardInterrupt())
    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == []


def test_a_link_into_a_folder_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "missing" / "a.txt")
    write_atomic(tmp_path / "a.txt", b"new")
    assert (tmp_path / "missing" / "a.txt").read_bytes() == b"new"
    (tmp_path / "lock").symlink_to(tmp_path / "other" / "lock")
    with pytest.raises(FileNotFoundError, match="lock"):
        acquire(tmp_path / "lock", wait=False)


@pytest.mark.parametrize("syncfs", [True, False])
def test_a_folder_is_flushed_with_all_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syncfs: bool) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("x")
    flushed = []
    if not syncfs:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
        monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    flush_all(tmp_path / "a")
    expected = [tmp_path / "a" / "b", tmp_path / "a" / "b" / "c.txt", tmp_path / "a"]
    assert flushed == ([] if syncfs else [path.stat().st_ino for path in expected])


def test_a_file_in_its_place_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that asks HDF5's way whether somebody writes it would refuse it."""
    path, free = tmp_path / "a.txt", []
    fsync = os.fsync

    def asked(descriptor: int) -> None:
        if path.exists() and os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                free.append(path.read_text())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", asked)
    write_atomic(path, b"new")
    assert free == ["new"]


def test_a_link_to_itself_is_refused_and_stays(tmp_path):
    link = tmp_path / "out.h5"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomic(link, b"new")
    assert link.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
