import json

import pytest

from dsa_app.errors import TrainingError
from dsa_train.ablation.tables import (
    CLAIMS,
    QUESTIONS,
    distillation_gains,
    judged,
    read_rows,
    result,
    rows_of,
    signed,
    spread,
    table,
)
from dsa_train.published import ROWS
from repository import ROOT


def trained(experiment, seed, rate=None, **mAP):
    matches = {match: {"mAP": value, "rank1": value + 0.1, "views": {"0-45": value}} for match, value in mAP.items()}
    return {"experiment": experiment, "seed": seed, "rate": rate, "matches": matches}


RESULTS = [
    *(trained("table3/two-branches", seed, main=0.30 + 0.01 * seed) for seed in range(3)),
    *(
        trained("table3/dsa-reid", seed, main=0.33 + 0.01 * seed, fused=0.50, **{"global": 0.4, "local": 0.45})
        for seed in range(3)
    ),
    *(trained("table4/csa", seed, main=0.34 + 0.01 * seed, fused=0.3) for seed in range(3)),
    *(trained("beyond/taught", seed, main=0.36 + 0.01 * seed, fused=0.48 + 0.01 * seed) for seed in range(3)),
    trained("beyond/taught", 0, rate=2.0, main=0.31, fused=0.4),
]


def test_one_training_gives_every_row_that_it_is_matched_for():
    rows = rows_of(RESULTS, "market1501")
    named = {row["name"]: row for row in rows}
    assert named["Only MF-Stream"]["mAP"] == named["DSA"]["mAP"] == named["Elem-add"]["mAP"] == [0.33, 0.34, 0.35]
    assert named["Two streams fused"]["mAP"] == [0.5] * 3
    assert named["Only MF-Stream"]["paper"] == {"mAP": 87.6, "rank1": 95.7}
    assert "paper" not in named["Distillation"]
    assert named["CSA"]["seeds"] == [0, 1, 2]
    assert "Baseline" not in named  # not trained yet
    curve = {row["name"]: (row["rate"], row["mAP"]) for row in rows if row["table"] == "curve"}
    assert curve == {
        "Distillation, errors × 2": (2.0, [0.31]),
        "Distillation, fused, errors × 2": (2.0, [0.4]),
    }


def test_a_curve_of_an_experiment_that_has_no_fused_row():
    rows = rows_of([trained("table3/two-branches", 0, rate=2.0, main=0.3)])
    assert [row["name"] for row in rows] == ["Two branches, errors × 2"]


def test_claims_are_judged_by_paired_differences():
    verdicts = {one.claim.words: one for one in judged(rows_of(RESULTS), (*CLAIMS, *QUESTIONS))}
    assert verdicts["two streams in training over two branches"].verdict == "holds"
    assert verdicts["fine over coarse alignment"].verdict == "reversed"
    assert verdicts["one stream as good as two at inference"].verdict == "reversed"
    assert verdicts["distillation over the paper's guide"].measured.mean == pytest.approx(0.03)
    assert "sum over concatenation" not in verdicts


def test_the_gain_of_distillation_is_a_part_of_the_fused_features_gain():
    rows = rows_of(RESULTS)
    plain, errors = distillation_gains(rows)
    assert plain.endswith("main +6.0, fused +18.0 points: 33%")
    assert errors.split("main")[1].strip() == "+1.0, fused +10.0 points: 10%"  # from the one seed that both have
    assert distillation_gains([row for row in rows if row["name"] != "Two branches"]) == []
    assert result(rows, "no such row") is None


def test_without_a_gain_of_the_fused_features_there_is_no_part():
    rows = rows_of([trained("table3/two-branches", 0, main=0.4), trained("beyond/taught", 0, main=0.41, fused=0.3)])
    assert "none, fused is not above" in distillation_gains(rows)[0]


def test_the_table_has_the_verdicts():
    text = table(rows_of(RESULTS))
    (line,) = [line for line in text.splitlines() if "fine over coarse" in line]
    assert "-1.0" in line
    assert "reversed" in line
    assert "(paper, on Market-1501: +3.5)" in line
    assert "points: 33%" in text


def test_a_heading_without_anything_below_it_is_left_out():
    printed = table(rows_of([trained("regions/two-levels-parts", 0, main=0.4, visible=0.3)]))
    assert "The paper's claims" not in printed
    assert "Further comparisons" in printed
    assert "points of mAP:" not in table(rows_of([trained("table4/csa", 0, main=0.4)]))


@pytest.mark.parametrize(
    ("dataset", "changes", "beside"),
    [
        ("market1501", [], True),
        ("market1501", ["train.epochs=1"], True),  # it is said below the table
        ("market1501", ["evaluate.flip=true"], False),
        ("synthetic", [], False),
        ("mine", [], False),
        ("", [], False),
    ],
)
def test_the_papers_numbers_stand_beside_its_own_dataset_and_protocol_alone(dataset, changes, beside):
    rows = rows_of([{**one, "changes": changes} for one in RESULTS], dataset)
    assert any("paper" in row for row in rows) == beside
    assert ("paper: mAP" in table(rows)) == beside
    assert ("87.6" in table(rows)) == beside


def test_the_table_says_which_settings_were_others():
    small = [{**one, "changes": ["train.epochs=1"]} for one in RESULTS]
    for one in small:
        one["changes"] = one["changes"] + (["warp.size=16"] if one["experiment"] != "table3/two-branches" else [])
        one["changes"] = one["changes"] + (["train.ema=0.9"] if one["experiment"] == "table4/csa" else [])
    text = table(rows_of(small)).splitlines()
    assert "Settings other than the experiments', of all rows: train.epochs=1." in text
    (sized,) = [line for line in text if line.startswith("warp.size=16: ")]
    assert "Two streams fused; Only MF-Stream; DSA;" in sized
    assert "errors" not in sized
    assert "warp.size=16, train.ema=0.9: CSA." in text
    assert not [line for line in table(rows_of(RESULTS)).splitlines() if "Settings" in line]


# better, worse, and the paper's difference in points of mAP
ORDERINGS = [
    ("Only MF-Stream", "Two branches", 4.2),
    ("DSA", "CSA", 3.5),
    ("Elem-add", "Concatenation + fc", 6.0),
    ("Global (Joint)", "Global (Single)", 2.7),
    ("Local (Joint)", "Local (Single)", 3.3),
    ("Baseline + RE", "Baseline", 2.2),
    ("Baseline + RE + LS", "Baseline + RE", 2.6),
    ("Two branches", "Baseline + RE + LS", 2.2),
    # section 4.4
    ("Global (Single)", "Baseline + RE + LS", 3.5),
    ("Local (Single)", "Baseline + RE + LS", 2.0),
    ("CSA", "Baseline + RE + LS", 2.9),
    ("Two streams fused", "Global (Single)", 2.8),
    ("Two streams fused", "Local (Single)", 4.3),
]


@pytest.mark.parametrize(("better", "worse", "points"), ORDERINGS)
def test_the_papers_orderings_and_their_size(better, worse, points):
    (claim,) = [claim for claim in CLAIMS if (claim.better, claim.worse) == (better, worse)]
    published = {row.title: row.mAP for row in ROWS}
    assert claim.paper == points == pytest.approx(published[better] - published[worse])
    assert claim.as_good is None


def test_the_document_shows_what_the_command_prints():
    """Lines that are too long for the page are wrapped there."""
    printed = table(read_rows(ROOT / "benchmarks" / "results" / "tables_synthetic.json"))
    assert " ".join(printed.split()) in " ".join((ROOT / "docs" / "evidence.md").read_text(encoding="utf-8").split())


def test_numbers_in_points():
    assert spread([0.5]) == "50.0"
    assert spread([0.5, 0.52]) == "51.0 ± 1.4"
    assert signed(judged(rows_of(RESULTS), CLAIMS)[0].measured).startswith("+3.0 [")


@pytest.mark.parametrize(
    "change",
    [
        *({"mAP": [value]} for value in (None, "0.5", True, 10**400, float("nan"), float("inf"))),
        *({"paper": paper} for paper in ([], {}, {"mAP": 0.5}, {"mAP": [1], "rank1": 2}, {"mAP": 10**400, "rank1": 1})),
        {"rank1": [0.5, 0.5]},
        {"seeds": []},
    ],
    ids=str,
)
def test_rows_with_other_values_than_numbers_are_refused(tmp_path, change):
    row = {"name": "x", "table": 3, "seeds": [1], "mAP": [0.5], "rank1": [0.6], "paper": {"mAP": 80.0, "rank1": 90}}
    path = tmp_path / "tables.json"
    path.write_text(json.dumps([row]))
    assert table(read_rows(path))
    path.write_text(json.dumps([row | change]))
    with pytest.raises(TrainingError, match="does not contain rows of an ablation"):
        read_rows(path)
