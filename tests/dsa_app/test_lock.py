"""One process at a time, and nothing left behind."""

import multiprocessing
import os
import shutil
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from dsa_app.errors import BusyError
from dsa_app.lock import delete_left_lock, locked


def test_a_second_one_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    guarded = tmp_path / "new" / "out"
    with locked(guarded, "busy"), pytest.raises(BusyError, match="busy"), locked(guarded, "busy"):
        pass
    assert os.listdir(tmp_path) == []  # the folder that was made for the lock has gone with it
    with locked(guarded, "busy"):
        guarded.touch()
    assert os.listdir(tmp_path / "new") == ["out"]


def test_a_link_and_what_it_points_to_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    link, behind = tmp_path / "out", tmp_path / "large disk" / "out"
    link.symlink_to(behind)
    with locked(link, "busy"), pytest.raises(BusyError), locked(behind, "busy"):
        pass


def test_what_is_guarded_may_be_removed_meanwhile(tmp_path: Path) -> None:
    guarded = tmp_path / "out"
    guarded.mkdir()
    with locked(guarded, "busy"):
        shutil.rmtree(guarded)
        with pytest.raises(BusyError), locked(guarded, "busy"):
            pass


def _count(guarded: Path, number: "Synchronized[int]", rounds: int) -> None:
    for _ in range(rounds):
        with locked(guarded, None):
            before = number.value
            os.sched_yield()
            number.value = before + 1


def test_processes_that_wait_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    number = context.Value("i", 0, lock=False)
    workers = [context.Process(target=_count, args=(tmp_path / "out", number, 200)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert number.value == 800
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_process_is_deleted_and_a_held_one_stays(tmp_path: Path) -> None:
    guarded = tmp_path / "out"
    (tmp_path / ".out.lock").touch()
    delete_left_lock(guarded)
    assert os.listdir(tmp_path) == []
    with locked(guarded, "busy"):
        delete_left_lock(guarded)
        with pytest.raises(BusyError), locked(guarded, "busy"):
            pass


def test_folders_of_a_refused_command_are_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), locked(tmp_path / "a" / "b" / "out", "busy"):
        raise ValueError("refused")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b" / "out", "busy"):
        (tmp_path / "a" / "written").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["written"]
