"""Both stages' commands: a store that another program has open is left alone, and a replaced one is reported first."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dsap_cases import Case
from tiny import write_true_maps

COMMANDS = {
    "iuv": "densepose_extract.cli import --dataset market1501 --from {root}/iuv --manifest {folder}/manifest.csv "
    "--root {root} --out {folder}/iuv.h5 --overwrite",
    "dsap": "dsap.cli build --dataset market1501 --manifest {folder}/manifest.csv --root {root} --iuv {folder}/iuv.h5 "
    "--out {folder}/dsap.h5 --set warp.size=8 --overwrite",
}
RUN = "import sys, importlib; sys.argv[0] = 'x'; importlib.import_module(sys.argv.pop(1)).main()"
HOLD = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def run(market: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command of a stage, both of which have been run before."""
    case = Case(tmp_path, market)
    case.list_images()
    write_true_maps(market)

    def arguments(stage: str) -> list[str]:
        return COMMANDS[stage].format(root=market, folder=tmp_path).split()

    def run(stage: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RUN, *arguments(stage), *more]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)

    for stage in COMMANDS:  # in this process, which is quicker
        module, *options = arguments(stage)
        assert CliRunner().invoke(importlib.import_module(module).main, options).exit_code == 0
    return run


@pytest.mark.parametrize("stage", COMMANDS)
@pytest.mark.parametrize(("kill", "message"), [(False, "is open for writing in another program"), (True, "h5clear -s")])
def test_a_store_in_use_is_left_alone(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, stage: str, kill: bool, message: str
) -> None:
    store = tmp_path / f"{stage}.h5"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    if kill:
        holder.kill()
        holder.wait()
    before = store.read_bytes()
    done = run(stage)
    assert done.returncode == 2
    assert f"error: {store} " in done.stderr
    assert message in done.stderr
    assert store.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dsap.h5", "iuv.h5", "manifest.csv", "market1501"]
    holder.communicate()


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_replaced_store_is_reported(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, stage: str
) -> None:
    store = tmp_path / f"{stage}.h5"
    whole = store.read_bytes()
    assert "note" not in run(stage).stderr
    store.write_bytes(whole[:1000])
    done = run(stage)
    assert done.returncode == 0
    assert f"note: {store} is damaged or cut short" in done.stderr
    assert store.read_bytes() == whole


def test_replaced_settings_are_reported(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    done = run("dsap", "--set", "warp.size=16")
    assert done.returncode == 0
    assert (
        "dsap.h5 was made with other settings: warp.size was 8, this run wants 16. Everything is rebuilt" in done.stderr
    )
