"""Workers that end with their command, and leave Ctrl-C to it."""

import os
import signal
import time
from pathlib import Path

import joblib
import pytest

from dsa_app import parallel
from processes import fresh


def test_results_in_order_by_this_process_alone() -> None:
    tasks = (joblib.delayed(divmod)(n, 3) for n in range(7))
    assert list(parallel.carry_out(tasks, jobs=1)) == [divmod(n, 3) for n in range(7)]


def test_workers_block_ctrl_c_and_this_process_does_not() -> None:
    def mask_and_parent(_: int) -> tuple[set[int], int]:  # not of the module, which a worker cannot import
        return set(signal.pthread_sigmask(signal.SIG_BLOCK, [])), os.getppid()

    found = list(parallel.carry_out((joblib.delayed(mask_and_parent)(n) for n in range(4)), jobs=2, ordered=False))
    assert all(signal.SIGINT in mask and parent == os.getpid() for mask, parent in found)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def leave_a_worker(note: Path) -> None:
    """Write the processes of two workers to `note`, and die while they work."""

    def name_and_sleep(n: int) -> None:
        with note.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(60)

    list(parallel.carry_out((joblib.delayed(name_and_sleep)(n) for n in range(2)), jobs=2))


def kill_when_written(note: Path) -> None:
    import threading

    def kill() -> None:
        while not note.exists() or len(note.read_text().split()) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    leave_a_worker(note)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells a process of its parent's death")
def test_workers_of_a_killed_command_end(tmp_path: Path) -> None:
    note = tmp_path / "workers"
    assert fresh(kill_when_written, note)() == -signal.SIGKILL
    until = time.monotonic() + 5
    workers = [Path("/proc") / pid / "stat" for pid in note.read_text().split()]
    while any(is_running(path) for path in workers):
        assert time.monotonic() < until, "a worker outlived its command"
        time.sleep(0.01)


def is_running(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
