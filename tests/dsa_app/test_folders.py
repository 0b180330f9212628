"""A new folder takes the place of the old one: killed anywhere, one of the two is whole, and nothing stays."""

import os
from pathlib import Path

import pytest

from dsa_app.folders import put_in_place, tidy


def test_an_old_folder_is_replaced_and_nothing_stays(tmp_path: Path) -> None:
    out, part = _make(tmp_path)
    put_in_place(part, out)
    assert (out / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("event", ["os.rename", "os.remove", "os.rmdir"])
@pytest.mark.parametrize("number", [0, 1])
def test_killed_anywhere(tmp_path: Path, event: str, number: int) -> None:
    out, part = _make(tmp_path)
    pid = os.fork()
    if not pid:
        _killed_at(event, number)
        put_in_place(part, out)
        os._exit(0)
    os.waitpid(pid, 0)
    tidy(out)
    put = (out / "a.txt").read_text()
    assert put in ("old", "new")
    left = {"out"} if put == "new" else {"out", "part"}  # which the next call puts in place
    assert set(os.listdir(tmp_path)) == left
    if part.exists():
        put_in_place(part, out)
    assert (out / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def _make(folder: Path) -> tuple[Path, Path]:
    for name, text in (("out", "old"), ("part", "new")):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text(text)
    return folder / "out", folder / "part"


def _killed_at(event: str, number: int) -> None:
    import sys

    count = 0

    def announced(name: str, _: object) -> None:
        nonlocal count
        if name == event:
            if count == number:
                os._exit(9)
            count += 1

    sys.addaudithook(announced)
