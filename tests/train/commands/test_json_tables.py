"""What prints a table prints the same numbers as JSON alone."""

import json
import re
from pathlib import Path

import pytest

from dsa_train import recipes, results
from dsa_train.ablation.tables import CLAIMS, rows_of
from dsa_train.published import DSA, EVERY_ROW, TABLES_DATASET
from dsa_train.results import Result

MEASURES = {"mAP": 0.871, "rank1": 0.953, "rank5": 0.981, "rank10": 0.99}


def printed(run, *arguments: object) -> dict:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    read: dict = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return read


def test_summary(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["train.network.main.trunk=resnet18", "train.network.main.width=0.125", "train.network.classifier_width=8"]
    settings = [
        part for one in [*small, "train.height=64", "train.width=32", "warp.size=16"] for part in ("--set", one)
    ]
    found, text = printed(run, "summary", *settings), run("summary", *settings).stdout
    parameters = re.search(r"is deployed: ([\d,]+) parameters, ([\d.]+) GFLOP", text)
    assert found["deployed"]["parameters"] == int(parameters[1].replace(",", ""))
    assert found["deployed"]["flops"] / 1e9 == pytest.approx(float(parameters[2]), abs=6e-4)
    assert (found["image"], found["part_image"], found["identities"]) == ([64, 32], 16, 751)
    assert {row["part"] for row in found["rows"]} == {"main", "guide", "classifiers"}
    whole = re.search(r"^everything +([\d,]+)", text, re.MULTILINE)
    assert sum(row["parameters"] for row in found["rows"]) == int(whole[1].replace(",", ""))


def test_experiments(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path))
    artifacts = tmp_path / TABLES_DATASET
    artifacts.mkdir()
    (artifacts / "manifest.csv").write_text("key\n")
    manifest = results.manifest_of(artifacts)
    for seed in (0, 3):
        settings = {"train.seed": seed} if seed else {}
        results.write(artifacts, Result(DSA, "main", MEASURES, settings, manifest, manifest))
    results.write(artifacts, Result(DSA, "main", MEASURES, {"train.epochs": 9}, manifest, manifest))
    found = printed(run, "experiments", "--dataset", TABLES_DATASET)
    assert [row["row"] for row in found["rows"]] == [row.title for row in EVERY_ROW]
    own = [row for row in found["rows"] if row["here"]]
    assert {row["experiment"] for row in own} == {DSA}
    assert [one["seed"] for one in own[0]["here"]] == [0, 3]
    assert own[0]["here"][0] == {"seed": 0, "maps": "", **MEASURES}
    assert own[0]["paper"]["mAP"] == 87.6
    assert [one["experiment"] for one in found["recipes"]] == list(recipes.EXPERIMENTS)
    assert found["recipes"][0]["published"]["market1501"].keys() == {"rank1", "mAP"}
    (other,) = found["others"]
    assert other["changes"] == ["train.epochs=9"]


def test_ablation_table(run, tmp_path: Path) -> None:
    made = [
        {"experiment": name, "seed": seed, "rate": None, "matches": {"main": {"mAP": mAP + 0.01 * seed, "rank1": 0.5}}}
        for name, mAP in (("table3/two-branches", 0.3), ("table4/csa", 0.34))
        for seed in range(2)
    ]
    of_dsa = {match: {"mAP": 0.33, "rank1": 0.6} for match in ("main", "fused", "global", "local")}
    made.append({"experiment": DSA, "seed": 0, "rate": None, "matches": of_dsa})
    path = tmp_path / "tables.json"
    path.write_text(json.dumps(rows_of(made, TABLES_DATASET)))
    found = printed(run, "ablation-table", path)
    assert not path.with_suffix(".png").exists()
    named = {row["name"]: row for row in found["rows"]}
    assert named["Two branches"]["difference"] is None
    of_two, of_one = named["CSA"]["difference"], named["Only MF-Stream"]["difference"]
    assert (of_two["seeds"], of_one["seeds"]) == (2, 1)
    assert of_two["mean"] == pytest.approx(0.04)
    assert (of_one["low"], of_one["high"]) == (None, None)  # one seed has no interval
    claim = next(one for one in found["claims"] if one["better"] == "Only MF-Stream" and one["worse"] == "Two branches")
    assert claim["claim"] == CLAIMS[0].words
    assert claim["paper_points"] == 4.2
    assert claim["verdict"] == "inconclusive"
