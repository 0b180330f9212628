"""Rows trained with one budget on the tiny dataset: finished ones are not trained again, and seeds are paired."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dsa_app.config import Settings
from dsa_app.errors import StoreError, TrainingError
from dsa_app.lock import locked
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, write_iuv
from dsa_train import stage
from dsa_train.ablation import runner as ablation
from dsa_train.ablation.rows import MAIN
from dsa_train.ablation.runner import run_all
from dsa_train.ablation.tables import rows_of
from dsa_train.ablation.trainings import AblationConfig, Folders, trainings
from dsa_train.cli import main
from dsa_train.published import EVERY_ROW
from repository import ROOT
from tiny import random_iuv

BUDGET = {
    "warp": {"size": 8},
    "train": {
        "height": 64,
        "width": 32,
        "identities": 3,
        "pictures": 2,
        "epochs": 1,
        "network": {"weights": "none", "classifier_width": 8, "main": {"trunk": "resnet18", "width": 0.125}},
    },
}


@pytest.fixture
def folders(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    artifacts = tmp_path / "made"
    artifacts.mkdir()
    shutil.copy(tiny.manifest, artifacts / "manifest.csv")
    shutil.copy(tiny.dsap, artifacts / "dsap.h5")
    return Folders(artifacts, tiny.root)


@pytest.fixture
def base():
    return Settings("tiny", None, BUDGET, "test")


def some(base, *names, seeds=1):
    wanted = AblationConfig(seeds=seeds, main_seeds=seeds, experiments=names)
    return trainings(base, wanted)


def test_every_row_is_trained_from_as_many_seeds_as_asked(base, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = trainings(base, AblationConfig(curve=("beyond/taught",), rates=(0, 2), curve_seeds=1))
    counts = {name: sum(one.name == name for one in found) for name in {one.name for one in found}}
    for name in {row.experiment for row in EVERY_ROW}:
        assert counts.pop(name) == (5 if name in MAIN else 3)
    assert counts == {"beyond/taught-rate-0": 1, "beyond/taught-rate-2": 1}
    assert [one.seed for one in found] == sorted(one.seed for one in found)  # every row first from seed 0
    budgets = {(one.train.epochs, one.train.height, one.train.network.main.width) for one in found}
    assert budgets == {(1, 64, 0.125)}


def test_an_experiments_numbers_can_be_replaced_for_another_budget(base, monkeypatch):
    monkeypatch.chdir(ROOT)
    wanted = AblationConfig(changes={"beyond/faded": ("train.guidance.fade=[0,1]",)})
    (faded,) = [one for one in trainings(base, wanted) if (one.name, one.seed) == ("beyond/faded", 0)]
    assert faded.train.guidance.fade == (0, 1)
    with pytest.raises(TrainingError, match="No row has the experiment 'beyond/fade'"):
        trainings(base, AblationConfig(experiments=("beyond/fade",)))


def test_results_by_match_and_nothing_trained_twice(base, folders, monkeypatch):
    todo = some(base, "table3/two-branches", "table3/global-single", "beyond/taught")
    found = run_all(todo, folders)
    assert [one["experiment"] for one in found] == [one.experiment for one in todo]
    matches = {one["experiment"]: list(one["matches"]) for one in found}
    assert matches["table3/two-branches"] == ["main"]
    assert matches["table3/global-single"] == ["main", "fused", "global", "guide"]
    assert matches["beyond/taught"] == ["main", "fused", "global", "local", "guide"]
    assert all(0 < measured["mAP"] <= 1 for one in found for measured in one["matches"].values())
    guided = found[[one.experiment for one in todo].index("table3/global-single")]
    assert guided["history"][-1]["guide/guided"] > 0
    monkeypatch.setattr(stage, "run", lambda *_, **__: pytest.fail("trained again"))
    assert run_all(todo, folders) == found


def test_networks_that_predict_regions_are_measured_by_visible_regions_too(base, folders):
    changed = {**BUDGET, "train": {**BUDGET["train"], "regions": {"fit": 2, "fit_images": 8}}}
    found = run_all(some(Settings("tiny", None, changed, "test"), "regions/own", "regions/template"), folders)
    matches = {one["experiment"]: one["matches"] for one in found}
    assert list(matches["regions/own"]) == ["main", "visible"]
    assert matches["regions/own"]["visible"] != matches["regions/own"]["main"]
    assert list(matches["regions/template"]) == ["main"]
    named = {row["name"]: row for row in rows_of(found)}
    assert named["Regions, visible"]["mAP"] == [round(matches["regions/own"]["visible"]["mAP"], 6)]
    assert "Mean regions, visible" not in named

    reranked = {**changed, "evaluate": {"rerank": {"on": True}}}
    (training,) = some(Settings("tiny", None, reranked, "test"), "regions/own")
    assert not training.evaluation.compares_plainly  # visible distances are for rankings without re-ranking


def write_maps(path, records):
    shapes = np.array([(record.height, record.width) for record in records])
    box = np.zeros(4, np.float32)
    maps = [
        IuvMap(random_iuv(record.height, record.width, number), 1.0, box, "found", record.digest, "0" * 64)
        for number, record in enumerate(records)
    ]
    header = Header("tiny", {"engine": "test"}, "made up")
    write_iuv(path, header, [record.key for record in records], shapes, maps)


def test_the_average_map_control_has_part_images_of_its_own(base, folders, tiny):
    with pytest.raises(StoreError, match=r"iuv\.h5"):
        run_all(some(base, "controls/average-map"), folders)  # the maps that are averaged are missing
    write_maps(folders.artifacts / "iuv.h5", tiny.records())
    (found,) = run_all(some(base, "controls/average-map"), folders)
    assert list(found["matches"]) == ["main", "fused", "global", "local", "guide"]
    stores = folders.artifacts / "ablation" / "stores"
    assert IuvStore(stores / "iuv-average.h5").header.configuration["engine"] == "average"
    parts = DsapStore(stores / "iuv-average-last-fine-8.h5")
    assert (parts.read(0)[0] != DsapStore(folders.artifacts / "dsap.h5").read(0)[0]).any()


def test_other_settings_are_another_training(base, folders, monkeypatch):
    (todo,) = some(base, "table3/two-branches")
    run_all([todo], folders)
    trained, train = [], ablation._train

    def noted(training, *rest):
        trained.append(training.train.weight_decay)
        train(training, *rest)

    monkeypatch.setattr(ablation, "_train", noted)
    changed = {**BUDGET, "train": {**BUDGET["train"], "weight_decay": 0.1}}
    (other,) = some(Settings("tiny", None, changed, "test"), "table3/two-branches")
    run_all([other], folders)
    assert trained == [0.1]


def test_rows_of_one_seed_begin_alike_and_see_the_same_batches(base, folders, monkeypatch):
    begun, seen = {}, {}
    load_pretrained, feed = stage.load_pretrained, stage.loop.feed

    def noted(network, config):
        load_pretrained(network, config)
        begun[config.guide] = {name: value.clone() for name, value in network.main.state_dict().items()}

    def counted(batch, data, config, *place, **own):
        inputs = feed(batch, data, config, *place, **own)
        seen.setdefault(config.network.guide, []).append(inputs.images)
        return inputs

    monkeypatch.setattr(stage, "load_pretrained", noted)
    monkeypatch.setattr(stage.loop, "feed", counted)
    run_all(some(base, "table3/two-branches", "table3/dsa-reid"), folders)
    assert begun[True].keys() == begun[False].keys()
    assert all(torch.equal(value, begun[False][name]) for name, value in begun[True].items())
    assert len(seen[True]) == len(seen[False])
    assert all(torch.equal(one, other) for one, other in zip(seen[True], seen[False], strict=True))


@pytest.mark.slow
def test_two_in_parallel_give_the_results_of_one(base, folders, tmp_path):
    todo = some(base, "table3/two-branches", "table3/dsa-reid")
    two = run_all(todo, folders, jobs=2)
    shutil.rmtree(folders.artifacts / "ablation")
    assert run_all(todo, folders) == two


def test_a_killed_training_is_resumed(base, folders, monkeypatch):
    """A checkpoint of the same training is resumed."""
    (todo,) = some(base, "table3/two-branches")
    whole = run_all([todo], folders)
    shutil.rmtree(folders.artifacts / "ablation")
    stage.run(folders.manifest, folders.root, folders.artifacts / "dsap.h5", folders.run(todo), todo.train)
    (folders.run(todo) / "model.pt").unlink()  # killed before the end
    assert run_all([todo], folders) == whole


def test_the_command_prints_the_table_and_writes_the_figure(base, folders, tiny, tmp_path, monkeypatch):
    params = tmp_path / "params.yaml"
    names = ["table3/two-branches", "table3/dsa-reid"]
    values = BUDGET | {"dataset": "market1501", "ablation": {"seeds": 1, "main_seeds": 1, "experiments": names}}
    params.write_text(json.dumps(values))
    (tmp_path / "market1501").symlink_to(tiny.root)
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    shutil.copytree(folders.artifacts, tmp_path / "artifacts" / "market1501")
    found = CliRunner().invoke(main, ["ablation", "--params", str(params)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    rows = json.loads((tmp_path / "artifacts" / "market1501" / "tables-some.json").read_text())
    assert {"name", "table", "seeds", "mAP", "rank1"} <= rows[0].keys()
    assert "two streams in training over two branches" in found.output
    figure = tmp_path / "artifacts" / "market1501" / "tables-some.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(main, ["ablation-table", str(figure.with_suffix(".json"))])
    assert again.output.splitlines()[0] in found.output


BROKEN = '[{"name": "a", "table": %s, "seeds": [0], "mAP": %s, "rank1": [0.1]}]'


@pytest.mark.parametrize(
    "content",
    [
        *("{", "{}", "[1]", "[]", '[{"name": "a"}]', BROKEN % (3, '["a"]'), BROKEN % (3, "[]"), BROKEN % (3, "[1, 2]")),
        *(BROKEN % ('"x"', "[0.1]"), BROKEN % ('"curve"', "[0.1]")),
    ],
)
def test_files_that_are_not_rows_are_refused(content, tmp_path):
    path = tmp_path / "tables.json"
    path.write_text(content)
    found = CliRunner().invoke(main, ["ablation-table", str(path)])
    assert found.exit_code == 2
    assert found.output.startswith(f"error: {path}")


def test_a_row_that_cannot_start_is_refused_before_any_is_trained(base, folders):
    with pytest.raises(TrainingError, match="table3/baseline initialises its global head"):
        run_all(some(base, "table3/two-branches", "table3/baseline"), folders)
    assert not (folders.artifacts / "ablation").exists()


@pytest.mark.slow
def test_an_interrupted_ablation_ends_its_workers(folders, tiny, tmp_path):
    """SIGTERM to the command ends everything, with exit code 128 + 15."""
    params = tmp_path / "params.yaml"
    train = BUDGET["train"] | {"epochs": 100_000}
    wanted = {"seeds": 2, "main_seeds": 2, "experiments": ["table3/two-branches"]}
    params.write_text(json.dumps(BUDGET | {"dataset": "market1501", "train": train, "ablation": wanted}))
    (tmp_path / "market1501").symlink_to(tiny.root)
    shutil.copytree(folders.artifacts, tmp_path / "artifacts" / "market1501")
    environment = os.environ | {"DSA_DATASETS": str(tmp_path), "DSA_ARTIFACTS": str(tmp_path / "artifacts")}
    command = [Path(sys.executable).parent / "dsa-train", "ablation", "--params", params, "--jobs", "2"]
    run = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    made = tmp_path / "artifacts" / "market1501" / "ablation" / "runs" / "table3" / "two-branches"
    while not all((made / seed / "checkpoint.pt").exists() for seed in "01"):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.2)
    run.terminate()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 128 + 15
    assert told.rstrip().endswith("Run the same command to resume.")
    for seed in "01":  # no lock is held: no worker is left
        with locked(made / seed, "a worker is left"):
            pass
