"""`dsa-train evaluate` of files of other programs, and what it writes for others."""

import csv
import json

import numpy as np
import pytest

import torchreid_protocol
from dsa_data.images import read


@pytest.fixture
def case(tmp_path):
    rng = np.random.default_rng(0)
    values = {
        "qf": rng.normal(size=(10, 6)).astype(np.float32),
        "gf": rng.normal(size=(30, 6)).astype(np.float32),
        "q_pids": np.arange(10) // 2,
        "g_pids": rng.integers(0, 6, 30),
        "q_camids": np.ones(10, int),
        "g_camids": rng.integers(1, 4, 30),
    }
    np.savez(tmp_path / "f.npz", **values)
    return values


def test_features_need_no_dataset(run, case, tmp_path):
    result = run("evaluate", "--features", tmp_path / "f.npz", "--json", "--set", "evaluate.distance=cosine")
    assert result.exit_code == 0, result.stderr
    labels = [case[name] for name in ("q_pids", "g_pids", "q_camids", "g_camids")]
    cmc, mean, _ = torchreid_protocol.evaluated(torchreid_protocol.distances(case["qf"], case["gf"], "cosine"), *labels)
    found = json.loads(result.stdout)
    assert found["mAP"] == pytest.approx(mean)
    assert found["rank1"] == pytest.approx(cmc[0])
    assert found["protocol"] == "cosine distance"
    assert not list(tmp_path.glob("metrics.json"))


def test_a_table_and_the_files_that_were_asked_for(run, case, tmp_path):
    out, pq, rk = tmp_path / "m.json", tmp_path / "q.csv", tmp_path / "r.json"
    files = ["--out", out, "--per-query", pq, "--rankings", rk, "--top", 4]
    result = run("evaluate", "--features", tmp_path / "f.npz", *files, "--cameras")
    lines = result.stdout.splitlines()
    assert lines[1].startswith("f.npz ")
    assert "earlier version" not in result.stdout  # the settings of another program are not known, and not missing
    assert [str(out), str(pq), str(rk)] == lines[-3:]
    assert "Rank-1 and mAP between cameras" in result.stdout
    with pq.open() as file:
        rows = list(csv.DictReader(file))
    ap = [float(row["ap"]) for row in rows if row["ap"]]
    assert np.mean(ap) == pytest.approx(json.loads(out.read_text())["mAP"])
    ranked = json.loads(rk.read_text())
    assert len(ranked) == 40
    assert [row["place"] for row in ranked[:4]] == [1, 2, 3, 4]
    first = next(row for row in ranked if row["query"] == "query/3")
    distances = torchreid_protocol.distances(case["qf"][3:4], case["gf"], "euclidean")[0] ** 0.5
    assert first["distance"] == pytest.approx(distances.min(), rel=1e-5)
    assert first["image"] == f"gallery/{distances.argmin():02}"


def test_written_distances_are_read_again(run, case, tmp_path):
    common = ["evaluate", "--features", tmp_path / "f.npz"]
    one = run(*common, "--write-distances", tmp_path / "d.h5", "--per-query", tmp_path / "a.csv")
    assert one.stdout.splitlines()[-1] == str(tmp_path / "d.h5")
    again = ["--per-query", tmp_path / "b.csv", "--write-distances", tmp_path / "d.npy"]
    two = run("evaluate", "--distances", tmp_path / "d.h5", *again)
    assert two.exit_code == 0, two.stderr
    assert two.stdout.splitlines()[1].split()[1:] == one.stdout.splitlines()[1].split()[1:]  # after the file's name
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    expected = torchreid_protocol.distances(case["qf"], case["gf"], "euclidean") ** 0.5
    np.testing.assert_allclose(np.load(tmp_path / "d.npy"), expected, rtol=1e-5)


@pytest.fixture
def market(tiny, tmp_path, monkeypatch):
    """The options of a command on the tiny dataset as market1501, in the working directory `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "market1501").symlink_to(tiny.root)
    return ["--dataset", "market1501", "--manifest", tiny.manifest]


def test_a_runs_distances_with_its_manifest(run, tiny, train, market, tmp_path):
    train(tmp_path / "one")
    common = [*market, "--run", tmp_path / "one"]
    files = ["--per-query", tmp_path / "run.csv", "--write-distances", tmp_path / "d.npy"]
    result = run("evaluate", *common, *files)
    assert result.exit_code == 0, result.stderr
    run("evaluate", *common, "--write-distances", tmp_path / "d.h5")
    for again in (["d.npy", "--labels", tiny.manifest], ["d.h5"]):
        result = run("evaluate", "--distances", *again, "--per-query", tmp_path / "again.csv")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "again.csv").read_text() == (tmp_path / "run.csv").read_text()


def test_against_a_file_of_another_result(run, case, tmp_path):
    run("evaluate", "--features", tmp_path / "f.npz", "--per-query", tmp_path / "a.parquet")
    np.savez(tmp_path / "b.npz", **{**case, "gf": np.random.default_rng(5).normal(size=(30, 6))})
    result = run("evaluate", "--features", tmp_path / "b.npz", "--against", tmp_path / "a.parquet", "--json")
    one, two = (
        json.loads(run("evaluate", "--features", tmp_path / f"{name}.npz", "--json").stdout) for name in ("b", "f")
    )
    found = json.loads(result.stdout)["against"]
    assert found["mAP_difference"]["mean"] == pytest.approx(one["mAP"] - two["mAP"])
    assert found["mAP_difference"]["low"] < found["mAP_difference"]["mean"] < found["mAP_difference"]["high"]
    refused = run("evaluate", "--features", tmp_path / "b.npz", "--against", tmp_path)
    assert "--against a run needs a run" in refused.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--distances", "d.npy"], "--features and --distances exclude each other"),
        (["--run", "x"], "--run, --manifest and --views are for a run"),
        (["--set", "evaluate.flip=true"], "evaluate.flip=True decides how features are made"),
        (["--match", "fused"], "evaluate.match=fused decides how features are made"),
        (
            ["--set", "evaluate.distance=visible"],
            "evaluate.distance=visible compares eight regions by their visibilities",
        ),
        (["--per-query", "a.txt"], "--per-query a.txt: expected a name that ends in .csv, .json, .parquet"),
        (["--write-distances", "d.csv"], "--write-distances d.csv: expected a name that ends in .npy or .h5"),
        (["--figure", "a.png"], "--figure renders what changed against another result"),
    ],
)
def test_options_that_do_not_go_together(run, case, tmp_path, options, error):
    result = run("evaluate", "--features", tmp_path / "f.npz", *options)
    assert result.exit_code == 2
    assert error in result.stderr


def test_labels_and_gallery_alone_are_refused(run, tmp_path):
    assert "--labels goes with --features" in run("evaluate", "--dataset", "x", "--labels", "a.csv").stderr
    assert "--gallery-features goes with" in run("evaluate", "--dataset", "x", "--gallery-features", "a").stderr


def test_a_run_against_another(run, train, market, tmp_path):
    train(tmp_path / "one")
    train(tmp_path / "two", seed=1)
    common = [*market, "--run", tmp_path / "one"]
    result = run("evaluate", *common, "--against", tmp_path / "two" / "model.pt", "--out", tmp_path / "m.json")
    assert result.exit_code == 0, result.stderr
    assert f"Against {tmp_path / 'two' / 'model.pt'}, on 4 queries of 4 people" in result.stdout
    changed = "->" in result.stdout
    assert (tmp_path / "against.png").is_file() == changed
    if changed:
        assert read(tmp_path / "against.png").shape[2] == 3
    again = run("evaluate", *common, "--against", tmp_path / "one", "--out", tmp_path / "m.json")
    assert "No query changed." in again.stdout
    missing = run("evaluate", *common, "--against", tmp_path / "none" / "model.pt")
    assert "Name another run, or a file of --per-query" in missing.stderr
