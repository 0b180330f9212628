"""examples/people_table.py, and the settings beside it, as docs/tutorials/your-dataset.md uses them."""

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dsa_app.config import read_settings
from dsa_data.images import encode_jpeg
from dsa_train.config import TrainConfig
from rendered_people import rendered_people
from repository import ROOT

SCRIPT = ROOT / "examples" / "people_table.py"
PRESET = ROOT / "examples" / "sixty.yaml"


def write(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(number).integers(0, 256, (16, 8, 3), dtype=np.uint8)
        (root / name).write_bytes(encode_jpeg(image))


def table(root: Path) -> list[tuple[str, ...]]:
    done = subprocess.run([sys.executable, str(SCRIPT), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (root / "dataset.csv").open(newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)]


def test_every_second_person_is_tested(tmp_path: Path) -> None:
    """A camera's first image is a query if it took more, and so is the person's first; the rest is the gallery."""
    write(tmp_path, "anna/c1_1.jpg", "anna/c2_1.jpg", "cleo/c1_1.jpg", "cleo/c2_1.jpg", "dora/camera3_1.jpg")
    write(tmp_path, "ben/c1_1.jpg", "ben/c1_2.jpg", "ben/c2_1.jpg", "ben/c2_2.jpg", "dora/camera4_1.jpg")
    assert table(tmp_path) == [
        ("path", "pid", "camid", "split"),
        ("anna/c1_1.jpg", "1", "1", "train"),
        ("anna/c2_1.jpg", "1", "2", "train"),
        ("ben/c1_1.jpg", "2", "1", "query"),
        ("ben/c1_2.jpg", "2", "1", "gallery"),
        ("ben/c2_1.jpg", "2", "2", "query"),
        ("ben/c2_2.jpg", "2", "2", "gallery"),
        ("cleo/c1_1.jpg", "3", "1", "train"),
        ("cleo/c2_1.jpg", "3", "2", "train"),
        ("dora/camera3_1.jpg", "4", "3", "query"),
        ("dora/camera4_1.jpg", "4", "4", "gallery"),
    ]


def test_the_table_is_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from dsa_data.cli import main

    root = tmp_path / "mine"
    write(root, *(f"p{person}/c{camera}_{shot}.jpg" for person in range(4) for camera in (1, 2) for shot in (1, 2)))
    table(root)
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path))
    done = CliRunner().invoke(main, ["check", "--dataset", "mine"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert re.search(r"train +8 +2 +2", done.output)


def test_mistakes_are_named(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("people_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write(tmp_path, "a/c1.jpg")
    with pytest.raises(ValueError, match="1 folders with images; expected"):
        module.rows(tmp_path)
    write(tmp_path, "b/c1.jpg", "c/c1.jpg", "d/front.jpg")
    with pytest.raises(ValueError, match=r"d/front.jpg has no camera's number"):
        module.rows(tmp_path)


@pytest.mark.parametrize("given", [[], ["nothing"], ["file"], ["."]])
def test_mistakes_on_the_command_line_are_one_line(tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, str(ROOT / "examples" / "people_table.py"), *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_preset_is_valid_and_is_what_the_page_says() -> None:
    settings = read_settings(PRESET)
    train = settings.section("train", TrainConfig)
    page = (ROOT / "docs" / "tutorials" / "your-dataset.md").read_text(encoding="utf-8")
    assert (settings.dataset, settings.experiment) == ("mine", "demo")
    assert f"images of {train.height}×{train.width}" in page
    assert f"{train.epochs} epochs" in page
    assert yaml.safe_load(PRESET.read_text())["extract"]["engine"] == "pose"


NAMES = ("anna", "ben", *(f"person{n:02}" for n in range(14)))
SHOTS = [(camera, shot) for camera in (1, 2) for shot in (1, 2)]


def write_people(root: Path) -> dict[str, Any]:
    """Write four rendered images of each person; return their keypoints as COCO's annotations."""
    people = iter(rendered_people(len(NAMES) * len(SHOTS)))
    listed: dict[str, Any] = {"images": [], "annotations": []}
    for name in NAMES:
        for camera, shot in SHOTS:
            person, key = next(people), f"{name}/camera{camera}_{shot:04}.jpg"
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(encode_jpeg(person.image))
            number = len(listed["images"])
            listed["images"].append({"id": number, "file_name": key})
            points = [value for x, y, _ in person.keypoints.tolist() for value in (x, y, 2)]
            listed["annotations"].append({"image_id": number, "keypoints": points})
    return listed


def printed_commands() -> list[str]:
    """Return the commands of the tutorial's three sections, as they are printed."""
    page = (ROOT / "docs" / "tutorials" / "your-dataset.md").read_text(encoding="utf-8")
    sections = page.partition("## 1. ")[2].partition("## How long")[0]
    lines = [line for block in re.findall(r"```\n(.*?)```", sections, re.DOTALL) for line in block.splitlines()]
    return [
        line for line in lines if line.split()[0] in ("python", "dsa-data", "densepose-extract", "dsap", "dsa-train")
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_tutorial_works_as_printed(tmp_path: Path) -> None:
    """With keypoints from a file, random weights and one epoch: the network and the weights would be downloaded."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    (tmp_path / "keypoints.json").write_text(json.dumps(write_people(tmp_path / "datasets" / "mine")))
    preset = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    preset["extract"] = {"engine": "keypoints", "keypoints": str(tmp_path / "keypoints.json")}
    preset["train"] |= {"epochs": 1, "threads": 1, "schedule": {"warmup": 0, "fall": "cosine", "end": 1}}
    preset["train"]["network"]["weights"] = "none"
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / PRESET.name).write_text(yaml.safe_dump(preset, sort_keys=False))
    shutil.copy(SCRIPT, tmp_path / "examples")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSA_")}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    commands = printed_commands()
    assert len(commands) == 12
    for line in commands:
        done = subprocess.run(
            shlex.split(line, comments=True),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=kept | {"PATH": path},
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    for made in ("artifacts/mine/report.html", "artifacts/mine/rankings/best.png", "ranking.png"):
        assert (tmp_path / made).is_file(), made
