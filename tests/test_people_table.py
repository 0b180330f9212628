"""examples/people_table.py, and the settings beside it, as docs/tutorials/your-dataset.md uses them."""

import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from dsa_app.config import read_settings
from dsa_data.images import encode_jpeg
from dsa_train.config import TrainConfig
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


def test_the_preset_is_valid_and_is_what_the_page_says() -> None:
    settings = read_settings(PRESET)
    train = settings.section("train", TrainConfig)
    page = (ROOT / "docs" / "tutorials" / "your-dataset.md").read_text(encoding="utf-8")
    assert (settings.dataset, settings.experiment) == ("mine", "demo")
    assert f"images of {train.height}×{train.width}" in page
    assert f"{train.epochs} epochs" in page
    assert yaml.safe_load(PRESET.read_text())["extract"]["engine"] == "pose"
