"""`dvc repro` from pictures to measures on a tiny tree of each kind, by changing `dataset` alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import trees
from clones import call, copy_pipeline
from dsa_data import images, sets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a dozen processes each, and each loads PyTorch

DATASETS = ["market1501", "cuhk03-labeled", "cuhk01", "msmt17"]
PARAMS = {
    "dataset": "synthetic",
    "experiment": "demo",
    "set": [],
    "synth": {},
    "extract": {"engine": "import", "maps": "maps", "channels": "rgb"},
    "warp": {"size": 8},
    "train": {
        "height": 64,
        "width": 32,
        "identities": 3,
        "pictures": 2,
        "epochs": 1,
        "threads": 1,
        "network": {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8},
    },
    "evaluate": {"threads": 1},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project with the repository's pipeline, a tree of each kind, and made-up maps of their pictures."""
    root = tmp_path_factory.mktemp("project")
    copy_pipeline(root)
    parent = root / "datasets"
    parent.mkdir()
    for make in (trees.market1501_500k, trees.cuhk03, trees.cuhk01, trees.msmt17):
        make(parent)
    for name in DATASETS:
        found = sets.dataset(name)
        for number, entry in enumerate(found.scan(found.root(parent))):
            path = root / "maps" / Path(entry.key).with_suffix("")
            images.write_png(path.with_name(f"{path.name}_IUV.png"), trees.random_iuv(number))
    shutil.rmtree(parent / "cuhk03" / "images_labeled")  # the pipeline is to unpack it
    call(root, "dvc", "init", "--no-scm", "--quiet")
    return root


def repro(project: Path, name: str) -> Path:
    """Run the pipeline for a dataset, changed in params.yaml alone; return the folder of what it made."""
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"dataset": name}, sort_keys=False))
    call(project, "dvc", "repro")
    return project / "artifacts" / name


@pytest.mark.parametrize("name", DATASETS)
def test_from_pictures_to_measures(project: Path, name: str) -> None:
    made = repro(project, name)
    metrics = json.loads((made / "metrics.json").read_text())
    queries = sum(entry.split == "query" for entry in sets.scan(name, sets.dataset(name).root(project / "datasets")))
    assert metrics["queries"] + metrics["queries_left_out"] == queries
    assert 0 < metrics["mAP"] <= 1
    assert np.isfinite(metrics["chance_mAP"])
    assert (made / "runs" / "demo" / "model.pt").exists()
    assert "Data and pipelines are up to date" in call(project, "dvc", "repro")


def test_more_distractors_for_what_was_trained_without_them(project: Path) -> None:
    made = repro(project, "market1501")
    call(project, "dsa-data", "prepare", "--dataset", "market1501-500k")
    call(project, "dsa-train", "evaluate", "--dataset", "market1501-500k", "--run", made / "runs" / "demo")
    before, found = (
        json.loads((project / "artifacts" / name / "metrics.json").read_text())
        for name in ("market1501", "market1501-500k")
    )
    assert (before["gallery"], found["gallery"]) == (10, 13)
    assert 0 < found["mAP"] <= before["mAP"]


def test_splits_that_start_from_cuhk03_and_their_mean(project: Path) -> None:
    learnt = repro(project, "cuhk03-labeled") / "runs" / "demo"
    made = repro(project, "cuhk01")
    settings = ("--params", "params.yaml", "--dataset", "cuhk01", "--set", "train.identities=2")
    files = []
    for split in ("split00", "split03"):
        source = (*settings, "--manifest", made / "protocols" / f"{split}.csv")
        run, measured = made / "runs" / split, made / "runs" / f"{split}.json"
        call(
            project,
            "dsa-train",
            "run",
            *source,
            "--out",
            run,
            "--set",
            f"train.network.weights={learnt}",
        )
        call(project, "dsa-train", "evaluate", *source, "--run", run, "--out", measured)
        files.append(json.loads(measured.read_text()))
    told = call(
        project, "dsa-train", "report", *settings[:4], "--mean", made / "runs" / "split00.json", "--mean", measured
    )
    mean = next(line for line in told.splitlines() if line.startswith("cuhk01"))
    assert float(mean.split()[1]) == pytest.approx(50 * (files[0]["rank1"] + files[1]["rank1"]), abs=0.051)
    assert "one gallery image of each identity" in told
