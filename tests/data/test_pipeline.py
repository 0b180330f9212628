"""`dvc repro` from pictures to measures on a tiny tree of each kind, by changing `dataset` alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trees
import yaml

from data import images, sets

REPOSITORY = Path(__file__).resolve().parents[2]

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
    shutil.copy(REPOSITORY / "dvc.yaml", root)
    shutil.copytree(REPOSITORY / "experiments", root / "experiments")
    parent = root / "datasets"
    parent.mkdir()
    for make in (trees.market1501, trees.cuhk03, trees.cuhk01, trees.msmt17):
        make(parent)
    for name in DATASETS:
        found = sets.dataset(name)
        for number, entry in enumerate(found.scan(found.root(parent))):
            path = root / "maps" / Path(entry.key).with_suffix("")
            images.write_png(path.with_name(f"{path.name}_IUV.png"), trees.made_up_map(number))
    shutil.rmtree(parent / "cuhk03" / "images_labeled")  # the pipeline is to unpack it
    dvc(root, "init", "--no-scm", "--quiet")
    return root


def dvc(root: Path, *arguments: str) -> str:
    scripts = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{scripts}:{os.environ['PATH']}",
    }
    environment = {name: value for name, value in environment.items() if not name.startswith("DSA_")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_from_pictures_to_measures(project: Path, name: str) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"dataset": name}, sort_keys=False))
    dvc(project, "repro")
    made = project / "artifacts" / name
    metrics = json.loads((made / "metrics.json").read_text())
    queries = sum(entry.split == "query" for entry in sets.scan(name, sets.dataset(name).root(project / "datasets")))
    assert metrics["queries"] + metrics["queries_left_out"] == queries
    assert 0 < metrics["mAP"] <= 1
    assert np.isfinite(metrics["chance_mAP"])
    assert (made / "runs" / "demo" / "model.pt").exists()
    assert "Data and pipelines are up to date" in dvc(project, "repro")
