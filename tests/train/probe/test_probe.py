"""The probe as a whole: it finds semantics where they are the only way to a person, and none where maps are random."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dsa_data.images import write_png
from dsa_data.records import Entry, index, write_manifest
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_reid import MainStream, MainStreamConfig, Preprocessing, save
from dsa_train.cli import main
from dsa_train.probe.rows import AT_TEST, OTHERS, OWN, STRIPES, TEMPLATE

HEIGHT, WIDTH = 64, 32
CHARTS = {"head": 23, "torso": 1, "legs": 7}
FAST = [
    word for text in ("steps=300", "resamples=200", "seeds=1", "ridges=[0.1]") for word in ("--set", f"probe.{text}")
]


def person(pid: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of a person, and its chart map.

    The body is a block at any height: head, torso and legs below each other. A torso has upright lines and legs level
    ones, so that a network can find them; persons differ by the colours of both, so that where to look is what matters.
    """
    own = np.random.default_rng(pid)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3)) // 3 + 80
    chart = np.zeros((HEIGHT, WIDTH), np.uint8)
    top = int(rng.integers(0, 33))
    colours = {"head": np.array([230, 190, 160]), "torso": own.integers(0, 256, 3), "legs": own.integers(0, 256, 3)}
    for (name, number), (first, last) in zip(CHARTS.items(), ((0, 8), (8, 20), (20, 31)), strict=True):
        image[top + first : top + last, 6:-6] = colours[name] + rng.integers(-10, 11, 3)
        lines = {"torso": np.arange(WIDTH)[None], "legs": np.arange(HEIGHT)[:, None]}.get(name, np.zeros((1, 1)))
        dark = np.broadcast_to(lines // 2 % 2 == 1, (HEIGHT, WIDTH)) & (chart_of(top + first, top + last))
        image[dark] = image[dark] // 3
        chart[top + first : top + last, 6:-6] = number
    return image.clip(0, 255).astype(np.uint8), chart


def chart_of(first: int, last: int) -> np.ndarray:
    """Return the pixels of a part from one row to another, bool (HEIGHT, WIDTH)."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[first:last, 6:-6] = True
    return mask


def make(folder: Path) -> Path:
    """Write the dataset, as market1501, its manifest, its maps, and an untrained model."""
    root, artifacts = folder / "datasets" / "market1501", folder / "artifacts" / "market1501"
    rng, entries, maps = np.random.default_rng(0), [], {}
    for pid in range(1, 81):
        train = pid <= 40
        for n in range(6 if train else 4):
            split = "train" if train else "query" if n == 0 else "gallery"
            at = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}[split]
            camid = n % 2 + 1
            key = f"{at}/{pid:04}_c{camid}s1_{n:06}_00.png"
            image, chart = person(pid, rng)
            write_png(root / key, image)
            entries.append(Entry(key, split, pid, camid))
            maps[key] = np.stack([chart, 0 * chart, 0 * chart], axis=2)
    records = index(root, entries)
    write_manifest(records, artifacts / "manifest.csv")
    write_maps(artifacts / "iuv.h5", records, maps)
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig("resnet18", width=0.125))
    with torch.no_grad():
        for _ in range(20):
            stream(torch.randn(16, 3, HEIGHT, WIDTH))  # running statistics
    save(stream, folder / "model.pt", Preprocessing(HEIGHT, WIDTH))
    return folder


def write_maps(path: Path, records, maps) -> None:
    box = np.full(4, np.nan, np.float32)
    stored = [IuvMap(maps[record.key], 1.0, box, "found", record.digest, "0" * 64) for record in records]
    shapes = np.full((len(records), 2), (HEIGHT, WIDTH))
    write_iuv(path, Header("market1501", {"engine": "native"}, ""), [r.key for r in records], shapes, stored)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("probe"))


def probe(folder: Path, *more: str):
    return CliRunner().invoke(
        main, ["probe", "--dataset", "market1501", "--run", "model.pt", *FAST, *more], catch_exceptions=False
    )


@pytest.fixture
def here(made: Path, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.mark.slow
def test_semantics_are_found_where_a_body_may_be_anywhere(here: Path) -> None:
    result = probe(here)
    assert result.exit_code == 0, result.output
    measures = json.loads((here / "artifacts" / "market1501" / "probe.json").read_text())
    level = measures["levels"]["stride 8"]
    assert level["mAP"][OWN] > level["mAP"][TEMPLATE] + 0.02
    assert level["mAP"][OWN] > level["mAP"][STRIPES] + 0.02
    assert level["mAP"][OWN] > level["mAP"][OTHERS] + 0.02
    assert level["cells_right"][OWN] > level["cells_right"][TEMPLATE] + 0.02
    assert AT_TEST in level["mAP"]
    assert (here / "artifacts" / "market1501" / "probe.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_same_numbers_again_from_the_kept_maps(here: Path) -> None:
    shutil.rmtree(here / "artifacts" / "market1501" / "probe", ignore_errors=True)
    first = probe(here, "--json", "--out", "one.json")
    kept = sorted((here / "artifacts" / "market1501" / "probe").rglob("*.npy"))
    times = [path.stat().st_mtime_ns for path in kept]
    second = probe(here, "--json", "--out", "two.json")
    assert kept
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert (here / "one.json").read_bytes() == (here / "two.json").read_bytes()


@pytest.mark.slow
def test_maps_that_say_nothing(here: Path, tmp_path: Path) -> None:
    """Every image with the map of another one, people mixed: a head fitted to them is no better than to others'."""
    from dsa_data.records import read_manifest

    records = read_manifest(here / "artifacts" / "market1501" / "manifest.csv")
    rng = np.random.default_rng(3)
    maps = {}
    for record in records:
        _, chart = person(int(rng.integers(1000)), rng)
        maps[record.key] = np.stack([chart, 0 * chart, 0 * chart], axis=2)
    write_maps(tmp_path / "iuv.h5", records, maps)
    result = probe(here, "--iuv", str(tmp_path / "iuv.h5"), "--out", str(tmp_path / "probe.json"))
    assert result.exit_code == 0, result.output
    assert "Not shown" in result.output


@pytest.mark.slow
def test_maps_of_the_training_images_alone(here: Path, tmp_path: Path) -> None:
    from dsa_data.records import read_manifest

    records = [r for r in read_manifest(here / "artifacts" / "market1501" / "manifest.csv") if r.split == "train"]
    rng = np.random.default_rng(3)
    charts = {record.key: person(record.pid, rng)[1] for record in records}
    write_maps(tmp_path / "iuv.h5", records, {key: np.stack([c, 0 * c, 0 * c], 2) for key, c in charts.items()})
    result = probe(here, "--iuv", str(tmp_path / "iuv.h5"), "--out", str(tmp_path / "probe.json"))
    assert result.exit_code == 0, result.output
    assert "has maps of 0% of the test images" in result.stderr
    level = json.loads((tmp_path / "probe.json").read_text())["levels"]["stride 16"]
    assert AT_TEST not in level["mAP"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (["--iuv", "none.h5"], "none.h5 does not exist"),
        (["--run", "none"], "none does not exist"),
        (["--set", "probe.seeds=0"], "seeds = 0 is invalid"),
        (["--set", "probe.seed=-1"], "seed = -1 is invalid"),
        (["--set", "probe.steeps=1"], "Did you mean 'steps'?"),
        (["--set", "probe.ridges=[]"], "ridges"),
    ],
)
def test_refusals(here: Path, case: list[str], words: str) -> None:
    result = probe(here, *case)
    assert result.exit_code == 2
    assert words in result.output
    assert len(result.output.splitlines()) == 1


def test_too_few_maps(here: Path, tmp_path: Path) -> None:
    from dsa_data.records import read_manifest

    records = read_manifest(here / "artifacts" / "market1501" / "manifest.csv")[:1]
    write_maps(tmp_path / "iuv.h5", records, {records[0].key: np.zeros((HEIGHT, WIDTH, 3), np.uint8)})
    result = probe(here, "--iuv", str(tmp_path / "iuv.h5"))
    assert result.exit_code == 2
    assert "maps of 0 of 240 training images" in result.output
