"""Datasets by name, from their folders to measures: `prepare`, `check`, `run`, `evaluate` on small trees."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

import trees
from dsa_data import check, cli, sets
from dsa_train import cli as train_cli

TREES: dict[str, Callable[[Path], Path]] = {
    "occluded-duke": trees.occluded_duke,
    "occluded-reid": trees.occluded_reid,
    "p-dukemtmc": trees.p_dukemtmc,
    "partial-reid": trees.partial_reid,
    "partial-ilids": trees.partial_ilids,
    "ltcc": trees.ltcc,
    "prcc": trees.prcc,
    "viper": trees.viper,
    "grid": trees.grid,
    "prid2011": trees.prid2011,
    "ilids": trees.ilids,
    "mars": trees.mars,
}
SMALL = [
    *("train.height=64", "train.width=32", "train.identities=2", "train.pictures=2", "train.epochs=1"),
    *("train.network.guide=false", "train.network.weights=none", "train.network.classifier_width=8"),
    *("train.network.main.trunk=resnet18", "train.network.main.width=0.125", "train.threads=1", "evaluate.threads=1"),
]
REGIONS = [
    "train.network.main.local_pooling=regions",
    "train.regions.weight=0",
    "train.regions.steer=true",
    "train.regions.fit=0",
]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent folder of all datasets, with a small Market-1501; the folder of artifacts is next to it."""
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "datasets").mkdir()
    trees.market1501(tmp_path / "datasets")
    return tmp_path / "datasets"


def call(program: str, *arguments: str | Path) -> str:
    """Run a command; return what it printed."""
    main = cli.main if program == "dsa-data" else train_cli.main
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def settings(*values: str) -> list[str]:
    """Return the options that set values."""
    return [word for value in values for word in ("--set", value)]


def measure(name: str, run: Path, *values: str, manifest: Path | None = None) -> Mapping[str, float]:
    """Evaluate a run on a dataset; return its measures."""
    out = run.parent / "metrics.json"
    source = ["--manifest", manifest] if manifest else []
    call("dsa-train", "evaluate", "--dataset", name, *source, "--run", run, "--out", out, *settings(*values))
    measures: dict[str, float] = json.loads(out.read_text())
    return measures


@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
def test_from_folders_to_measures(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    TREES[name](datasets)
    entries = sets.scan(name)
    splits = {entry.split for entry in entries}
    counts = {split: check.count([entry for entry in entries if entry.split == split]) for split in splits}
    monkeypatch.setitem(
        sets.SETS, name, dataclasses.replace(sets.SETS[name], published=counts, total=None, cameras=None)
    )
    trained = name if "train" in splits else f"{name}+market1501"
    for one in dict.fromkeys((name, trained)):
        call("dsa-data", "prepare", "--dataset", one)
    assert "as published" in call("dsa-data", "check", "--dataset", name)
    run = tmp_path / "runs" / "small"
    call("dsa-train", "run", "--dataset", trained, "--out", run, *settings(*SMALL, *REGIONS))

    measures = measure(name, run)
    queries = {entry.tracklet or entry.key for entry in entries if entry.split == "query"}
    assert measures["queries"] == len(queries)
    assert 0 < measures["mAP"] <= 1
    if trained != name:
        assert measure(trained, run)["mAP"] == pytest.approx(measures["mAP"])
    if name in ("ltcc", "prcc"):
        changed, same = (measure(name, run, f"evaluate.clothes={how}") for how in ("changed", "same"))
        assert (changed["queries"], same["queries"]) == (4, 4)
        assert changed["queries_left_out"] == same["queries_left_out"] == measures["queries"] - 4
        assert "matches in changed clothes" in str(changed["protocol"])
    if name == "prcc":
        assert "one gallery image of each identity" in str(measures["protocol"])
    if name == "mars":
        assert measures["gallery"] == 5
        assert measure(name, run, "evaluate.tracklets=frames")["gallery"] == 14
        found = {how: measure(name, run, f"evaluate.tracklets={how}") for how in ("best", "visible")}
        assert all(one["gallery"] == 5 and 0 < one["mAP"] <= 1 for one in found.values())


@pytest.mark.slow
def test_generalisation_trains_on_large_datasets_and_tests_all_splits_of_small_ones(
    datasets: Path, tmp_path: Path
) -> None:
    for make in (trees.dukemtmcreid, trees.cuhk03, trees.msmt17):
        make(datasets)
    large = "market1501+dukemtmcreid+cuhk03-detected+msmt17"
    call("dsa-data", "prepare", "--dataset", large)
    run = tmp_path / "runs" / "large"
    call("dsa-train", "run", "--dataset", large, "--out", run, *settings(*SMALL))
    for name in ("viper", "prid2011"):
        TREES[name](datasets)
        call("dsa-data", "prepare", "--dataset", name)
        splits = sorted((tmp_path / "artifacts" / name / "protocols").glob("split*.csv"))
        assert len(splits) == 10
        found = {measure(name, run, manifest=split)["mAP"] for split in splits[:3]}
        assert all(0 < mAP <= 1 for mAP in found)
