"""What the Makefile installs, and that it repairs sources which came as a ZIP; nothing is installed here."""

import shutil
import subprocess
from pathlib import Path

import pytest

from repository import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the targets look at."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "requirements.lock", "requirements-pipeline.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *words: str) -> str:
    done = subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_installs_no_tools_of_developers(clone: Path) -> None:
    commands = make(clone, "-n", "demo")
    assert "3.0 GB to download" in commands
    assert "--requirement requirements-pipeline.lock" in commands
    assert "requirements.lock" not in commands
    assert "--quiet --no-deps --no-build-isolation --editable ." in commands
    assert "--quiet --no-deps --require-hashes" not in commands, "pip shows what it fetches"


def test_what_developers_need_is_the_demos_too(clone: Path) -> None:
    """After `make env` the demo installs nothing; after `make demo` there is something left for `make env`."""
    assert "--requirement requirements.lock" in make(clone, "-n", "env")
    (clone / ".venv").mkdir()
    for name in (".pipeline", ".current"):
        (clone / ".venv" / name).touch()
    assert "pip install" not in make(clone, "-n", "demo")
    (clone / ".venv" / ".current").unlink()
    assert "pip install" not in make(clone, "-n", "demo")
    assert "--requirement requirements.lock" in make(clone, "-n", "test")


@pytest.mark.parametrize("target", ["demo", "env"])
def test_without_cuda(clone: Path, target: str) -> None:
    commands = make(clone, "-n", target, "CPU=1")
    assert "--index-url https://download.pytorch.org/whl/cpu torch==" in commands
    assert commands.count("+cpu") == 2
    assert "--requirement" in commands
    assert "without-cuda.lock" in commands
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".cpu").touch()
    assert make(clone, "-n", target) == commands, "an environment that was made with CPU=1 stays one"


def test_a_zip_without_git_and_links(clone: Path) -> None:
    """Some programs unpack a link as a file that holds its target."""
    for folder in ("train/experiments", "data", "src", ".dvc"):
        (clone / folder).mkdir(parents=True)
    (clone / "train/experiments/demo.yaml").touch()
    links = {"experiments": "train/experiments", "src/dsa_data": "../data", "src/dsa_train": "../train"}
    for name, target in links.items():
        (clone / name).write_text(target)
    make(clone, "scm")
    assert (clone / "experiments/demo.yaml").is_file()
    assert {name: str((clone / name).readlink()) for name in links} == links
    assert "no_scm = true" in (clone / ".dvc/config.local").read_text()


def test_a_clone_keeps_git(clone: Path) -> None:
    for folder in ("train/experiments", "data", "src", ".dvc", ".git"):
        (clone / folder).mkdir(parents=True)
    for name, target in (
        ("experiments", "train/experiments"),
        ("src/dsa_data", "../data"),
        ("src/dsa_train", "../train"),
    ):
        (clone / name).symlink_to(target)
    make(clone, "scm")
    assert not (clone / ".dvc/config.local").exists()
