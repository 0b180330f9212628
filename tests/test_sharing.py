"""Two clones: what one has made and packed, or pushed, is up to date for `dvc repro` in the other."""

import shutil
from pathlib import Path

import pytest
import yaml

from clones import call, copy_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a dozen processes each, and each loads PyTorch

PARAMS = {
    "dataset": "synthetic",
    "experiment": "demo",
    "set": [],
    "synth": {"train_identities": 4, "test_identities": 3, "train_pictures": 4, "distractors": 2},
    "extract": {"engine": "rendered"},
    "warp": {"size": 8},
    "train": {
        "height": 64,
        "width": 32,
        "identities": 2,
        "pictures": 2,
        "epochs": 1,
        "threads": 1,
        "network": {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8},
    },
    "evaluate": {"threads": 1},
}
STAGES = ("prepare", "extract", "warp", "train", "evaluate")


def clone(root: Path) -> Path:
    """Make a clone with the files that git carries: the repository's pipeline, with tiny settings."""
    root.mkdir()
    copy_pipeline(root)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    call(root, "dvc", "init", "--no-scm", "--quiet")
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the pipeline has run."""
    root = clone(tmp_path_factory.mktemp("first") / "clone")
    call(root, "dvc", "repro")
    return root


def is_up_to_date(root: Path) -> bool:
    said = call(root, "dvc", "repro")
    assert "Running stage" not in said
    return all(f"Stage '{stage}' didn't change, skipping" in said for stage in STAGES)


def test_what_is_unpacked_is_up_to_date(finished: Path, tmp_path: Path) -> None:
    call(finished, "dsa-data", "pack", "--out", tmp_path / "a.zip")
    other = clone(tmp_path / "other")
    call(other, "dsa-data", "unpack", tmp_path / "a.zip")
    assert is_up_to_date(other)
    assert not (other / "datasets").exists(), "not even the images were rendered"
    assert (other / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    call(other, "dsa-data", "pack", "--out", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_maps_in_the_cache_are_pushed_and_pulled(finished: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(finished, tmp_path / "first"))
    call(first, "dsa-data", "cache-maps")
    call(first, "dvc", "commit", "prepare", "extract", "warp")
    call(first, "dvc", "remote", "add", "--default", "local", tmp_path / "remote")
    assert "7 files pushed" in call(first, "dvc", "push")
    other = clone(tmp_path / "other")
    for name in ("dvc.yaml", "dvc.lock", ".dvc/config"):  # as git would
        shutil.copy(first / name, other / name)
    call(other, "dvc", "pull")
    assert is_up_to_date(other)
    for name in ("manifest.csv", "iuv.h5", "dsap.h5"):
        made = Path("artifacts", "synthetic", name)
        assert (other / made).read_bytes() == (finished / made).read_bytes()
