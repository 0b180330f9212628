"""A number says what made it: settings that decide, changes from a row, and where a result is listed."""

import dataclasses
import json
from pathlib import Path

import pytest

from dsa_app.config import build, override, to_dict
from dsa_app.errors import TrainingError
from dsa_train import recipes, result_settings, results
from dsa_train.ablation import rows
from dsa_train.config import TrainConfig
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.published import DSA, EVERY_ROW, TABLES_DATASET, row_experiment
from dsa_train.results import Result
from dsap.config import WarpConfig

MEASURES = {"mAP": 0.871, "rank1": 0.953, "rank5": 0.981, "rank10": 0.99}


def values_of(*assignments: str, guide: bool = True) -> result_settings.Values:
    """Return what a run with these settings differs in from the paper's values."""
    sections = override({}, assignments)
    train = to_dict(build(TrainConfig, sections.get("train"), "test"))
    warp = to_dict(build(WarpConfig, sections.get("warp"), "test"))
    evaluation = build(EvaluateConfig, sections.get("evaluate"), "test")
    evaluation = dataclasses.replace(
        evaluation, gallery="whole" if evaluation.gallery == "auto" else evaluation.gallery
    )
    trained = result_settings.of_training(train, warp if guide else None, sections.get("extract") if guide else None)
    return trained | result_settings.of_evaluation(evaluation, "whole")


UNDECIDING = [
    "train.device=cuda:0", "train.threads=4", "train.workers=8", "train.memory=3", "train.speed.compile=default",
    "train.speed.channels_last=false", "train.evaluate_every=5", "train.save_every=7", "train.tensorboard=true",
    "train.deterministic=true", "train.network.branches=loop", "evaluate.batch=8", "evaluate.keep=false",
    "evaluate.memory=2", "evaluate.device=cpu", "evaluate.threads=2",
    # parts that are switched off
    "evaluate.repeats=3", "evaluate.seed=4", "evaluate.expansion.alpha=1", "evaluate.rerank.k1=9",
    # maps of another engine are other maps, which the result's digest tells apart
    "extract.engine=import",
    # the values that the settings have without them
    "train.epochs=320", "warp.size=32", "evaluate.gallery=whole",
]  # fmt: skip
DECIDING = [
    "train.epochs=1", "train.height=64", "train.network.main.trunk=resnet18", "train.network.weights=none",
    "train.schedule.warmup=3", "train.augment.erase=0.0", "train.losses.smoothing=0.0", "train.precision=float32",
    "train.identities=8", "train.ema=0.9", "warp.size=16", "warp.parts=coarse", "extract.errors.rate=0.0",
    "extract.engine=average",
    "evaluate.flip=true", "evaluate.cameras=ignore", "evaluate.gallery=single-shot", "evaluate.distance=cosine",
    "evaluate.multiquery=average", "evaluate.trapezoid=true", "evaluate.expansion.neighbours=2",
    "evaluate.rerank.on=true",
]  # fmt: skip


@pytest.mark.parametrize("setting", UNDECIDING)
def test_what_does_not_change_a_number_is_no_change(setting: str) -> None:
    assert values_of(setting) == {}


@pytest.mark.parametrize("setting", DECIDING)
def test_what_changes_a_number_is_named_as_it_was_set(setting: str) -> None:
    values = values_of(setting)
    assert result_settings.changes(values, {}) == [setting]
    assert result_settings.digest(values, "main", "") != result_settings.digest({}, "main", "")


def test_every_setting_is_sorted_into_one_of_the_two() -> None:
    known = set(result_settings.defaults())
    undeciding = {name for name in known if not result_settings._decides(name)}
    assert all(any(f"{name}.".startswith(f"{one}.") for name in known) for one in result_settings.UNDECIDING)
    assert undeciding < known
    assert {setting.partition("=")[0] for setting in [*UNDECIDING, *DECIDING]} <= known


def test_a_seed_is_named_and_is_no_change() -> None:
    values = values_of("train.seed=3")
    assert values == {"train.seed": 3}
    assert result_settings.changes(values, {}) == []
    assert Result(DSA, "main", MEASURES, values).seed == 3


EXPERIMENTS = sorted({row.experiment for row in EVERY_ROW})


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_row_is_its_own_and_no_others(experiment: str) -> None:
    own = result_settings.of_row(experiment)
    assert [other for other in EXPERIMENTS if not result_settings.changes(own, result_settings.of_row(other))] == [
        experiment
    ]


@pytest.mark.parametrize(
    ("row", "changed", "guide", "expected"),
    [
        ("table4/csa", ["warp.parts=coarse"], True, []),
        ("table4/csa", [], True, ["warp.parts=fine"]),
        ("table4/csa", ["warp.parts=coarse", "warp.size=16"], True, ["warp.size=16"]),
        ("table3/two-branches", ["train.network.guide=false"], False, []),
        ("table3/two-branches", ["train.network.guide=false", "warp.size=16"], False, []),  # no part images
        ("table3/two-branches", [], True, ["train.network.guide=true"]),
        ("beyond/faded", ["train.guidance.fade=[3, 10]"], True, ["train.guidance.fade=[3,10]"]),
        (DSA, ["train.network.guide=false"], False, ["train.network.guide=false"]),
    ],
)
def test_changes_from_a_row(row: str, changed: list[str], guide: bool, expected: list[str]) -> None:
    assert result_settings.changes(values_of(*changed, guide=guide), result_settings.of_row(row)) == expected


def test_many_changes_are_counted() -> None:
    found = [f"train.a{n}=1" for n in range(9)]
    assert result_settings.short(found).endswith("train.a5=1 and 3 more")
    assert result_settings.short(found[:2]) == "train.a0=1, train.a1=1"


def listed(artifacts: Path, dataset: str = TABLES_DATASET) -> tuple[list[str], list[str]]:
    """Return the lines of the rows, and those of other results."""
    text = rows.table(artifacts, dataset)
    table, _, others = text.partition("\nOther results")
    return table.splitlines(), others.splitlines()[1:]


# a result (experiment, match, settings, digests of the manifests), the rows that show it, and its changes otherwise
CASES = {
    "the row's own": (DSA, "global", [], "", ["Global (Joint)"], ""),
    "of another seed": (DSA, "fused", ["train.seed=2"], "", ["Two streams fused"], ""),
    "on another device": (DSA, "fused", ["train.device=cpu", "train.threads=1"], "", ["Two streams fused"], ""),
    "the README's own commands": ("paper", "main", [], "", ["Only MF-Stream", "DSA", "Elem-add"], ""),
    "the settings of a row": ("mine", "main", ["train.network.fusion=concat"], "", ["Concatenation + fc"], ""),
    "one epoch": (DSA, "main", ["train.epochs=1"], "", [], "train.epochs=1"),
    "another trunk": (DSA, "main", ["train.network.main.trunk=resnet18"], "", [], "train.network.main.trunk=resnet18"),
    "with a flip test": (DSA, "main", ["evaluate.flip=true"], "", [], "evaluate.flip=true"),
    "other images": (DSA, "main", [], "other", [], results.OTHER_IMAGES),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_row_shows_its_own_results_alone(case: str, tmp_path: Path) -> None:
    experiment, match, settings, images, shown_by, changes = CASES[case]
    (tmp_path / "manifest.csv").write_text("key\n")
    manifest = images or results.manifest_of(tmp_path)
    path = results.write(tmp_path, Result(experiment, match, MEASURES, values_of(*settings), manifest, manifest))
    table, others = listed(tmp_path)
    assert [line[8:30].strip() for line in table if "87.1    95.3    98.1    99.0" in line] == shown_by
    assert sum("not yet" in line for line in table) == len(EVERY_ROW) + len(recipes.EXPERIMENTS) - len(shown_by)
    if shown_by:
        assert others == []
        assert all(("seed 2" in line) == ("train.seed=2" in settings) for line in table if "87.1  " in line)
    else:
        (line,) = others
        assert line.startswith(f"{experiment} {match} ")
        assert changes in line
        assert path.name != f"{match}.json", "it must not take the place of the row's own"


def test_a_result_of_an_earlier_version_is_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "results" / "table3" / "dsa-reid" / "main.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(MEASURES))
    table, (line,) = listed(tmp_path)
    assert sum("not yet" in line for line in table) == len(EVERY_ROW) + len(recipes.EXPERIMENTS)
    assert line.startswith("table3/dsa-reid main")
    assert line.endswith("made by an earlier version; unknown settings")
    results.write(tmp_path, Result(DSA, "main", MEASURES, {}))
    assert listed(tmp_path)[1] == [], "the row's own replaces it"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        json.dumps({"mAP": 0.5}),
        json.dumps({**MEASURES, "mAP": "0.5"}),
        json.dumps({**MEASURES, "settings": ["main"]}),
        json.dumps({**MEASURES, "settings": {"experiment": 1}}),
        json.dumps({**MEASURES, "settings": {"experiment": "demo"}, "values": [1]}),
        json.dumps({**MEASURES, "settings": {"experiment": "demo"}, "values": {"train.seed": "1"}}),
        json.dumps({**MEASURES, "settings": {"experiment": "demo"}, "values": {}, "tested": 1}),
    ],
)
def test_another_file_among_the_results_is_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "results" / "table3" / "dsa-reid" / "main.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(TrainingError, match=r"main\.json is not a result of dsa-train evaluate.*\. Remove it"):
        results.read_all(tmp_path)


def test_no_result_takes_the_place_of_another(tmp_path: Path) -> None:
    made = [values_of(*settings) for settings in ([], ["train.seed=1"], ["train.epochs=1"], ["evaluate.flip=true"])]
    files = {results.write(tmp_path, Result(DSA, "main", MEASURES, values)) for values in made}
    files.add(results.write(tmp_path, Result(DSA, "main", MEASURES, None)))
    assert len(files) == 5
    assert {path.name for path in files} > {"main.json", "main-unknown.json"}
    for _ in range(2):  # and the same one takes its own place
        results.write(tmp_path, Result(DSA, "main", MEASURES, made[1]))
    assert len(results.read_all(tmp_path)) == 5
    table, others = listed(tmp_path)
    (first, second) = [line for line in table if "Only MF-Stream" in line or "dsa-reid main  seed 1" in line][:2]
    assert first.endswith("seed 0")
    assert second.endswith("seed 1")
    assert len(others) == 3


def test_a_run_of_other_training_images_is_no_rows(tmp_path: Path) -> None:
    many = values_of(*(one for one in DECIDING if one.startswith("train.")))
    results.write(tmp_path, Result(DSA, "main", MEASURES, many, "one", "other"))
    (line,) = listed(tmp_path)[1]
    assert results.TRAINED_ELSEWHERE in line, "it stands first, where no count hides it"
    assert line.endswith(" more")


def test_results_of_other_maps_stand_beside_each_other(tmp_path: Path) -> None:
    made = [Result(DSA, "main", MEASURES, {}, maps=maps, store=store) for maps, store in MAPS]
    assert len({one.digest for one in made}) == len(made)
    for one in (*made, *made):  # and each takes its own place
        results.write(tmp_path, one)
    assert len(results.read_all(tmp_path)) == len(made)
    assert results.read_all(tmp_path)[0] in made
    table, others = listed(tmp_path)
    assert others == []
    start = table.index(next(line for line in table if "Only MF-Stream" in line))
    named = [line.partition("maps: ")[2] for line in table[start : start + len(MAPS)]]
    assert named == sorted(maps for maps, _ in MAPS)


MAPS = [("native R_50_FPN_s1x", "aa"), ("native R_50_FPN_s1x 16 bits", "bb"), ("import", "cc"), ("import", "dd")]


def test_the_papers_numbers_stand_beside_its_own_dataset_alone(tmp_path: Path) -> None:
    def numbers(dataset: str) -> list[str]:
        return [line[30:70].strip() for line in listed(tmp_path, dataset)[0] if line.startswith(("Table", "control"))]

    market = numbers(TABLES_DATASET)
    assert market[0].split() == ["76.4", "91.2", "–", "–"]
    assert market[-1] == ""
    assert not any(numbers("mine"))
    assert [line.split()[:2] for line in numbers("dukemtmcreid") if line] == [["74.3", "86.2"]] * 3


@pytest.mark.parametrize(
    ("run", "row"), [(DSA, DSA), ("paper", DSA), ("demo", DSA), ("table3/baseline", "table3/baseline")]
)
def test_which_row_a_run_is_compared_with(run: str, row: str) -> None:
    assert row_experiment(run) == row
