"""The processes of torchrun: alone without it, the main process first where it prepares, and last to leave."""

import os
import time
from pathlib import Path

import pytest

from dsa_app.process_group import ProcessGroup, join_process_group
from processes import together


def test_without_torchrun_a_process_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_process_group() as group:
        assert (group.rank, group.size, group.is_main) == (0, 1, True)
        group.wait()


def test_the_main_process_goes_first() -> None:
    events: list[str] = []

    class Recorded(ProcessGroup):
        def wait(self) -> None:
            events.append("wait")

    for group, expected in ((Recorded(0, 2), ["work", "wait"]), (Recorded(1, 2), ["wait", "work"])):
        events.clear()
        with group.main_first():
            events.append("work")
        assert events == expected


def leave(folder: Path) -> None:
    """Write down when this process has left; the second is slow to come out of the last barrier."""
    rank = os.environ["RANK"]
    with join_process_group() as group:
        group.wait()
        if not group.is_main:
            time.sleep(2)
            (folder / rank).write_text(str(time.monotonic()))
    if rank == "0":
        (folder / rank).write_text(str(time.monotonic()))


def test_the_main_process_leaves_last(tmp_path: Path) -> None:
    """Otherwise its connections may be closed while another process is at the barrier, which then waits for ever."""
    assert together(leave, 2, tmp_path) == [0, 0]
    assert float((tmp_path / "0").read_text()) >= float((tmp_path / "1").read_text())
