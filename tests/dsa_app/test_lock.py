"""One process at a time, and nothing left behind."""

import multiprocessing
import os
import shutil
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from dsa_app.errors import BusyError
from dsa_app.lock import locked


def test_a_second_one_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    guarded = tmp_path / "new" / "out"
    with locked(guarded, "busy"), pytest.raises(BusyError, match="busy"), locked(guarded, "busy"):
        pass
    assert os.listdir(tmp_path / "new") == []
    with locked(guarded, "busy"):
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
