"""The Dockerfile: what it copies, its commands in a plain folder, and the image where Docker is."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wheels
from repository import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    re.sub(r"\\\n\s*", "", line)
    for line in re.findall(r"^[A-Z]+ (?:.*\\\n)*.*$", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE), re.MULTILINE)
]


def instructions(kind: str) -> list[str]:
    """Return the arguments of every instruction of a kind, continued lines joined."""
    return [line.partition(" ")[2] for line in INSTRUCTIONS if line.startswith(kind + " ")]


def copied() -> list[str]:
    """Return what the Dockerfile copies."""
    return [source for line in instructions("COPY") for source in line.split()[:-1]]


def docker_works() -> bool:
    """Whether there is a Docker that can build."""
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    assert [line[1:] for line in ignore if line.startswith("!")] == copied()
    assert all((ROOT / name).exists() for name in copied())


def test_every_package_is_copied() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = {"dsa_data": "data", "dsa_train": "train"}
    tops = {name.split(".")[0] for name in setup["options"]["packages"].split()}
    assert {folders.get(name, name) for name in tops} <= set(copied())
    assert setup["metadata"]["long_description"].removeprefix("file: ") in copied()


def test_the_image_installs_what_make_demo_installs() -> None:
    """The same packages of PyTorch with CUDA are left out, and the same builds without it are taken."""
    (pattern,) = re.findall(r"^CUDA := (.+)$", MAKEFILE, re.MULTILINE)
    assert f"cuda = /{pattern}/" in TEXT
    (index,) = re.findall(r"^TORCH_INDEX := (.+)$", MAKEFILE, re.MULTILINE)
    assert f"--index-url {index}" in TEXT
    (torch,) = re.findall(r"sed -n '(.+)' requirements.lock", MAKEFILE)
    assert f"sed -n '{torch}' $lock" in TEXT


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-pipeline.lock"])
def test_the_packages_without_cuda(lock: str) -> None:
    (program,) = re.findall(r"awk '(.+?)'", instructions("RUN")[1])
    left = subprocess.run(["awk", program, str(ROOT / lock)], capture_output=True, text=True, check=True).stdout
    whole = (ROOT / lock).read_text(encoding="utf-8")
    names, all_names = (set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE)) for text in (left, whole))
    gone = all_names - names
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "nvidia-nccl-cu13", "nvidia-cudnn-cu13"} <= gone
    assert all(re.match(r"torch$|torchvision$|triton$|cuda-|nvidia-", name) for name in gone)
    assert {"numpy", "nvidia-ml-py", "dvc"} <= names, "what is not of CUDA stays"
    assert left.count("--hash=") == whole.count("--hash=") - sum(
        len(re.findall("--hash=", block)) for block in re.split(r"\n(?=\S)", whole) if block.split("==")[0] in gone
    )
    (script,) = re.findall(r"sed -n '(.+?)'", instructions("RUN")[1])
    torch = subprocess.run(["sed", "-n", script, str(ROOT / lock)], capture_output=True, text=True, check=True).stdout
    assert [re.sub(r"[\d.]+", "N", line) for line in torch.split()] == ["torch==N+cpu", "torchvision==N+cpu"]


def test_the_pipelines_lock_file_is_part_of_the_developers() -> None:
    """So that `make env` after `make demo` adds packages and changes none."""

    def locked(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert locked("requirements-pipeline.lock") <= locked("requirements.lock")


@pytest.mark.slow
def test_the_project_installs_from_what_is_copied(tmp_path: Path) -> None:
    """The last pip command of the Dockerfile, in a folder that has what is copied and nothing else."""
    context = tmp_path / "context"
    context.mkdir()
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, context)
    (install,) = [line for line in instructions("RUN") if line.endswith("--no-build-isolation .")]
    site = tmp_path / "site"
    command = [sys.executable, "-m", *shlex.split(install)[:-1], "--no-index", "--target", str(site), "."]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, env=wheels.plain())
    assert done.returncode == 0, done.stderr
    words = [str(site / "bin" / "dsa-train"), "experiments", "--dataset", "market1501"]
    shown = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, env=wheels.plain(PYTHONPATH=str(site))
    )
    assert shown.returncode == 0, shown.stderr
    assert "table3/dsa-reid" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not docker_works(), reason="there is no Docker here, or its daemon does not run")
def test_the_image_builds_and_runs() -> None:
    subprocess.run(["docker", "build", "-t", "dsa-reid:test", str(ROOT)], check=True)
    run = ["docker", "run", "--rm", "dsa-reid:test"]
    listed = subprocess.run(
        [*run, "dsa-train", "experiments", "--dataset", "market1501"], capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert "table3/dsa-reid" in listed.stdout
    cuda = subprocess.run(
        [*run, "python", "-c", "import torch; print(torch.version.cuda)"], capture_output=True, text=True
    )
    assert cuda.stdout.strip() == "None"
