import json

import numpy as np
import pytest

from dsa_app.errors import TrainingError
from dsa_train import report
from dsa_train.evaluation.metrics import evaluate
from dsa_train.published import published

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
    "settings": {"experiment": "table3/dsa-reid", "match": "main", "digest": "0f", "changes": ""},
}


def table(metrics, dataset, experiment=None):
    return report.table(metrics, dataset, published(dataset, experiment, "main", metrics.get("protocol", "")))


def test_measures_stand_beside_chance_and_the_paper():
    names, ours, paper, counted, note = table(FOUND, "market1501", "table3/dsa-reid").splitlines()
    assert names.split() == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "chance", "mAP"]
    assert ours.split() == ["market1501", "95.7", "98.0", "99.0", "87.6", "60.0", "0.3"]
    assert paper.split()[3:] == ["95.7", "–", "–", "87.6"]
    assert note == "–: a number of the paper that is not known here."
    assert counted.startswith("3368 queries, 15913 gallery images.")


def test_a_run_that_is_not_in_the_paper_and_queries_left_out():
    lines = table({**FOUND, "queries_left_out": 7}, "mine", "demo").splitlines()
    assert len(lines) == 3
    assert "7 queries have no match in another camera" in lines[-1]


def test_another_dataset_has_its_own_published_numbers():
    paper = table(FOUND, "cuhk03-labeled").splitlines()[2]
    assert paper.split()[-2:] == ["78.9", "75.2"]
    sampled = {**FOUND, "protocol": "one gallery image of each identity, sampled 10 times"}
    first, second = table(sampled, "cuhk01").splitlines()[2:4]
    assert first.split()[-2:] == ["88.6", "97.1"]
    assert second.split()[-2:] == ["90.4", "97.8"]
    assert len(table(FOUND, "dukemtmcreid", "table3/baseline").splitlines()) == 3


def test_another_protocol_is_named():
    assert "re-ranked" in table({**FOUND, "protocol": "re-ranked"}, "market1501").splitlines()[-1]


SAMPLED = "one gallery image of each identity, sampled 10 times"
# dataset, experiment, match, protocol, and the titles of the paper's rows beside the result
PUBLISHED = {
    "the paper's hyper-parameters": ("market1501", None, "main", "", ["the paper, Market-1501"]),
    "the run of the README": ("market1501", "paper", "main", "", ["the paper, Market-1501"]),
    "a row": ("market1501", "table4/csa", "main", "", ["the paper, Market-1501"]),
    "a Joint row": ("market1501", "table3/dsa-reid", "local", "", ["the paper, Market-1501"]),
    "a match that the paper does not report": ("market1501", "table4/csa", "fused", "", []),
    "a control": ("market1501", "controls/nothing", "main", "", []),
    "one's own dataset": ("mine", None, "main", "", []),
    "one's own dataset, a row": ("mine", "table3/baseline", "main", "", []),
    "rendered people": ("synthetic", "table3/dsa-reid", "main", "", []),
    "more distractors": ("market1501-500k", None, "main", "", []),
    "trained on more": ("market1501+msmt17", None, "main", "", []),
    "a dataset of no table": ("msmt17", None, "main", "", []),
    "re-ranked": ("market1501", None, "main", "re-ranked", []),
    "flipped": ("market1501", None, "main", "flip test", []),
    "multi-query": ("market1501", None, "main", "multi-query by the average", []),
    "one gallery image": ("market1501", None, "main", SAMPLED, []),
    "CUHK03": ("cuhk03-labeled", None, "main", "", ["the paper"]),
    "CUHK03, a row": ("cuhk03-labeled", "table3/baseline", "main", "", []),
    "CUHK03, the classic protocol": ("cuhk03-classic-labeled", None, "main", SAMPLED, []),
    "DukeMTMC-reID": ("dukemtmcreid", "table3/dsa-reid", "main", "", ["the paper"]),
    "DukeMTMC-reID, fused": ("dukemtmcreid", "table3/dsa-reid", "fused", "", []),
    "CUHK01": ("cuhk01", None, "main", SAMPLED, ["the paper", "the paper, from CUHK03"]),
    "CUHK01, the whole gallery": ("cuhk01", None, "main", "", []),
    "CUHK01, re-ranked": ("cuhk01", None, "main", f"{SAMPLED}; re-ranked", []),
    "CUHK01, the other division": ("cuhk01-100", None, "main", SAMPLED, []),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_the_papers_rows_stand_beside_its_own_dataset_and_protocol_alone(case):
    dataset, experiment, match, protocol, titles = PUBLISHED[case]
    assert list(published(dataset, experiment, match, protocol)) == titles


def test_no_better_than_chance_is_said():
    lines = table({**FOUND, "mAP": 0.003}, "mine").splitlines()
    assert lines[-1].startswith("mAP is not above that of random rankings (0.3)")
    assert "random rankings" not in table({**FOUND, "mAP": 0.0031}, "mine")


def test_what_made_it_is_said_where_it_is_not_a_rows_own():
    def line(experiment, changes):
        settings = {"experiment": experiment, "match": "main", "digest": "0f", "changes": changes}
        return table({**FOUND, "settings": settings}, "mine").splitlines()[-1]

    assert line("demo", "train.epochs=1") == "Settings other than those of table3/dsa-reid: train.epochs=1."
    many = ", ".join(f"train.a{n}=[1,2]" for n in range(8))
    assert line("table4/csa", many).endswith("of table4/csa: " + ", ".join(many.split(", ")[:6]) + " and 2 more.")
    assert line("demo", "").startswith("3368 queries")
    old = {name: value for name, value in FOUND.items() if name != "settings"}
    assert table(old, "mine").splitlines()[-1] == "Made by an earlier version; unknown settings."


def test_between_cameras():
    right, wrong = (evaluate(np.array([row]), *map(np.array, ([1], [1, 2], [1], [2, 2]))) for row in ([0, 1], [1, 0]))
    pairs = {(1, 2): right, (3, 2): wrong}
    title, names, first, second = report.camera_table(pairs).splitlines()
    assert title.startswith("Rank-1 and mAP between cameras")
    assert names.split() == ["gallery", "2"]
    assert first.split() == ["query", "1", "100.0", "100.0"]
    assert second.split() == ["query", "3", "0.0", "50.0"]
    assert report.camera_measures(pairs)[1] == {"query": 3, "gallery": 2, "rank1": 0, "mAP": 0.5, "queries": 1}


def test_by_view():
    right, wrong = (evaluate(np.array([row]), *map(np.array, ([1], [1, 2], [1], [2, 2]))) for row in ([0, 1], [1, 0]))
    title, names, first, second = report.view_table({(0, 45): right, (135, 180): wrong}).splitlines()
    assert title.startswith("By the angle between the views")
    assert names.split() == ["Rank-1", "mAP", "queries"]
    assert first.split() == ["0", "to", "45", "degrees", "100.0", "100.0", "1"]
    assert second.split() == ["135", "to", "180", "degrees", "0.0", "50.0", "1"]
    measures = report.view_measures({(135, 180): wrong})
    assert measures == [{"from": 135, "to": 180, "rank1": 0, "mAP": 0.5, "queries": 1}]


def test_between_cameras_that_share_nobody():
    assert report.camera_table({}).startswith("No person is in the query of one camera and the gallery of another")
    assert report.camera_measures({}) == []


def test_the_mean_over_splits(tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, rank1 in zip(files, (0.25, 0.75), strict=True):
        path.write_text(json.dumps({**FOUND, "rank1": rank1}))
    mean = report.mean_of(files)
    assert mean["rank1"] == 0.5
    assert mean["mAP"] == pytest.approx(FOUND["mAP"])
    assert mean["queries"] == 2 * FOUND["queries"]
    assert mean["settings"] == {"experiment": "table3/dsa-reid", "match": "main", "changes": ""}


def test_the_mean_of_other_settings_is_said(tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, changes in enumerate(("", "train.epochs=1")):
        settings = {"experiment": "paper", "match": "main", "digest": str(number), "changes": changes}
        files[number].write_text(json.dumps({**FOUND, "settings": settings}))
    assert report.mean_of(files[:1])["settings"] == {"experiment": "paper", "match": "main", "changes": ""}
    assert report.mean_of(files)["settings"]["changes"] == "the files are of different settings"


def measured_on(dataset, **settings):
    return {**FOUND, "settings": {**FOUND["settings"], "dataset": dataset, "paper": "", **settings}}


def test_the_papers_rows_stand_beside_what_was_measured_on_its_dataset_as_it_measures():
    rows, without = report.papers(measured_on("market1501"), "market1501")
    assert list(rows) == ["the paper, Market-1501"]
    assert without == ""
    for metrics, reason in (
        (FOUND, "of an earlier version, which did not say its dataset"),
        (measured_on("mine"), "measured on mine, and not on market1501"),
        (measured_on("market1501", paper="trained elsewhere"), "trained elsewhere"),
    ):
        rows, without = report.papers(metrics, "market1501")
        assert rows == {}
        assert without.startswith(reason)
        assert f"The paper's row is not shown: {without}." in report.table(metrics, "mine", rows, without).splitlines()
    assert report.papers(measured_on("mine"), "mine") == ({}, "")
    assert report.papers(FOUND, "mine") == ({}, "")


def test_a_mean_is_of_one_dataset_and_of_each_file_once(tmp_path):
    files = [tmp_path / name for name in ("a.json", "b.json")]
    for path, metrics in zip(
        files, (measured_on("mine", manifest="1"), measured_on("other", manifest="2")), strict=True
    ):
        path.write_text(json.dumps(metrics))
    with pytest.raises(TrainingError, match=r"several datasets, mine, other\. Name those of one"):
        report.mean_of(files)
    with pytest.raises(TrainingError, match=r"a\.json is named twice"):
        report.mean_of([files[0], tmp_path / ".." / tmp_path.name / "a.json"])
    files[1].write_text(json.dumps(measured_on("mine", manifest="2", paper="trained elsewhere")))
    mean = report.mean_of(files)
    assert mean["settings"]["changes"] == "", "the splits of one protocol"
    assert mean["settings"]["paper"] == "trained elsewhere"


def test_read(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(TrainingError, match="Evaluate first: dsa-train evaluate"):
        report.read(path)
    for broken in (
        "{",
        "[]",
        '{"mAP": 1}',
        json.dumps({**FOUND, "rank1": "0.5"}),
        json.dumps({**FOUND, "settings": [1]}),
    ):
        path.write_text(broken)
        with pytest.raises(TrainingError, match="Evaluate again"):
            report.read(path)
    path.write_text(json.dumps(FOUND))
    assert report.read(path) == FOUND


def test_made_lists_what_is_there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").touch()
    (line,) = report.made(tmp_path, tmp_path / "run")
    assert str(tmp_path / "run" / "model.pt") in line


def test_json_alone_is_what_was_measured(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path))
    (tmp_path / "market1501").mkdir()
    (tmp_path / "market1501" / "metrics.json").write_text(json.dumps(FOUND))
    assert json.loads(run("report", "--dataset", "market1501", "--json").stdout) == FOUND
