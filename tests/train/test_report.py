import json

import pytest

from data.errors import TrainingError
from train import report

FOUND = {
    "rank1": 0.957,
    "rank5": 0.98,
    "rank10": 0.99,
    "mAP": 0.8764,
    "mINP": 0.6,
    "chance_mAP": 0.003,
    "queries": 3368,
    "queries_left_out": 0,
    "gallery": 15913,
}


def test_measures_stand_beside_chance_and_the_paper():
    names, ours, paper, counted = report.table(FOUND, "market1501", "table3/dsa-reid", "main").splitlines()
    assert names.split() == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "chance", "mAP"]
    assert ours.split() == ["market1501", "95.7", "98.0", "99.0", "87.6", "60.0", "0.3"]
    assert paper.split()[-2:] == ["95.7", "87.6"]
    assert counted.startswith("3368 queries, 15913 gallery pictures.")


def test_a_run_that_is_not_in_the_paper_and_queries_left_out():
    lines = report.table({**FOUND, "queries_left_out": 7}, "mine", "demo").splitlines()
    assert len(lines) == 3
    assert "7 queries have no match in another camera" in lines[-1]


def test_read(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(TrainingError, match="Measure first: dsa-train evaluate"):
        report.read(path)
    for broken in ("{", "[]", '{"mAP": 1}'):
        path.write_text(broken)
        with pytest.raises(TrainingError, match="Measure again"):
            report.read(path)
    path.write_text(json.dumps(FOUND))
    assert report.read(path) == FOUND


def test_made_lists_what_is_there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").touch()
    (line,) = report.made(tmp_path, tmp_path / "run")
    assert str(tmp_path / "run" / "model.pt") in line
