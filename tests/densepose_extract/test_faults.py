"""Real processes that are killed, share the work, or fill the disk: the same bytes in the end, never half a store."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from densepose_extract import stage
from densepose_extract.engines.native import NativeEngine
from densepose_extract.engines.rendered import Rendered
from densepose_extract.recipe import Recipe
from dsa_data import images
from tiny import list_images, write_many_images

COMMAND = [sys.executable, "-c", "from densepose_extract.cli import main; main()"]
SCRIPTS = Path(sys.executable).parent
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 small images, whose extraction takes about as long as the program takes to start."""
    return write_many_images(tmp_path_factory.mktemp("many") / "synthetic", 1200)


@pytest.fixture(scope="module")
def manifest(root: Path) -> Path:
    return list_images(root, root.with_name("manifest.csv"))


@pytest.fixture(scope="module")
def expected(root: Path, manifest: Path) -> bytes:
    return stage.extract(manifest, root, root.with_name("expected.h5"), "synthetic", Rendered(root)).path.read_bytes()


def options(root: Path, manifest: Path, out: Path) -> list[str]:
    return ["--dataset", "synthetic", "--root", str(root), "--manifest", str(manifest), "--out", str(out)]


def run_until_killed(command: list[str], seconds: float) -> bool:
    """Run a command and kill it with all its children after some seconds; return whether it ended before."""
    process = subprocess.Popen(
        command, env=QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, errors
    return True


@pytest.mark.parametrize("moments", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(root: Path, manifest: Path, expected: bytes, tmp_path: Path, moments: int) -> None:
    out = tmp_path / "iuv.h5"
    command = [*COMMAND, "run", *options(root, manifest, out)]
    start = time.monotonic()
    assert run_until_killed(command, 120)
    whole = time.monotonic() - start
    rng = random.Random(0)
    kills = 0
    while kills < moments:
        out.unlink(missing_ok=True)
        finished = False
        while not finished and kills < moments:
            finished = run_until_killed(command, whole * rng.uniform(0.3, 1.1))
            kills += not finished
            assert not out.exists() or out.read_bytes() == expected
    assert run_until_killed(command, 120)
    assert out.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["iuv.h5"]


@pytest.mark.slow
def test_two_processes_make_the_same_bytes(root: Path, manifest: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    done = subprocess.run(torchrun("run", *options(root, manifest, out)), env=QUIET, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == expected
    assert done.stdout.count("1202 maps") == 1  # one of them reports
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iuv.h5"]


@pytest.mark.slow
def test_an_error_in_one_process_ends_all(root: Path, manifest: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(root, broken)
    victim = sorted((broken / "bounding_box_train").iterdir())[
        70
    ]  # in the second batch, which the second process makes
    victim.write_bytes(b"")
    out = tmp_path / "iuv.h5"
    done = subprocess.run(
        torchrun("run", *options(broken, manifest, out)), env=QUIET, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert f"{victim.name} has changed" in done.stderr
    assert not out.exists()


def torchrun(*arguments: str) -> list[str]:
    return [
        str(SCRIPTS / "torchrun"),
        *("--no-python", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
        str(SCRIPTS / "densepose-extract"),
        *arguments,
    ]


@pytest.mark.slow
def test_the_network_killed_and_shared(checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    for n in range(8):
        size = ((96, 48), (64, 64))[n % 2]
        images.write_png(
            root / f"{n}.png", np.kron(rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.ones((2, 2, 1), np.uint8))
        )
    small = ["--set", "extract.min_size=64", "--set", "extract.proposals=20", "--batch", "2"]
    given = ["run", "--engine", "native", "--checkpoint", str(checkpoint), "--device", "cpu", *small]

    def command(out: Path) -> list[str]:
        return [*given, "--pictures", str(root), "--out", str(out)]

    whole, killed, shared = (tmp_path / name / "iuv.h5" for name in ("whole", "killed", "shared"))
    start = time.monotonic()
    assert run_until_killed([*COMMAND, *command(whole)], 240)
    seconds = time.monotonic() - start
    moments = random.Random(1)
    for _ in range(3):
        run_until_killed([*COMMAND, *command(killed)], seconds * moments.uniform(0.5, 1.0))
    assert run_until_killed([*COMMAND, *command(killed)], 240)
    assert killed.read_bytes() == whole.read_bytes()
    done = subprocess.run(torchrun(*command(shared)), env=QUIET, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert shared.read_bytes() == whole.read_bytes()

    recipe = Recipe(min_size=64, proposals=20, batch=2)
    engine = NativeEngine(checkpoint, "cpu", recipe=recipe)
    again = stage.extract(whole.with_name("manifest.csv"), root, tmp_path / "iuv.h5", "images", engine)
    assert again.path.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(not Path("/usr/bin/mount").exists() or os.geteuid() != 0, reason="needs root for a tiny disk")
def test_a_full_disk(root: Path, manifest: Path, expected: bytes, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no leave to mount a tiny disk")
    try:
        out = disk / "iuv.h5"
        command = [*COMMAND, "run", *options(root, manifest, out)]
        done = subprocess.run(command, env=QUIET, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line]
        assert "No space is left" in line
        assert not out.exists()
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert subprocess.run(command, env=QUIET, capture_output=True).returncode == 0
        assert out.read_bytes() == expected
    finally:
        subprocess.run(["umount", str(disk)], check=True)
