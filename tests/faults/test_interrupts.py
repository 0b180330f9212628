"""Ctrl-C and SIGTERM to commands that start from nothing: one line, whatever they were doing."""

import signal
from pathlib import Path

import pytest

from dsa_app.interrupt import MESSAGE, RESUME
from faults.run import Run
from faults.warm import cold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0, 1.5, 2.5])
def test_while_it_imports(seconds: float, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("key,split,pid,camid,width,height,digest\n")
    command = ("dsa-train", "run", "--dataset", "synthetic", "--manifest", "manifest.csv", "--set", "train.epochs=1")
    number = (signal.SIGINT, signal.SIGTERM)[int(10 * seconds) % 2]
    run = Run(command, tmp_path, tmp_path / "log", signal=number, after=seconds)
    (ended,) = cold(run)
    errors = run.errors()
    assert "Traceback" not in errors, errors
    if ended.hit and ended.code == 128 + number:
        assert errors in (MESSAGE + "\n", RESUME + "\n")
    else:  # before Python runs a line of ours, or after the command had ended
        assert ended.code in (-number, 2), errors
        assert len(errors.splitlines()) <= 1
