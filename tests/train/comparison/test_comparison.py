"""Comparisons: runs and files of features on datasets; numbers are those of `evaluate`, and are measured once."""

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from dsa_app.errors import ConfigError, DatasetError, TrainingError
from dsa_data.stores.features import Origin, write_features
from dsa_data.stores.header import Header
from dsa_train.comparison import rows as comparison_rows
from dsa_train.comparison.entries import entries
from dsa_train.comparison.features import Files, read_sides
from dsa_train.comparison.figure import wrapped, write_figure
from dsa_train.comparison.rows import Row
from dsa_train.comparison.speed import images_per_second, machine
from dsa_train.comparison.table import text
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.metrics import evaluate

DATASET = "market1501"


@pytest.fixture
def place(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Datasets and artifacts with the tiny dataset under Market-1501's name; return the latter's folder."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / DATASET).symlink_to(tiny.root)
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    artifacts = tmp_path / "artifacts" / DATASET
    artifacts.mkdir(parents=True)
    (artifacts / "manifest.csv").symlink_to(tiny.manifest)
    monkeypatch.chdir(tmp_path)
    return artifacts


@pytest.fixture
def trained(place: Path, train) -> Path:
    """The same with a run of the guide, of one epoch."""
    train(place / "runs" / "recipes" / "bot+dsa", epochs=1)
    return place


def features_of(records, seed: int = 0) -> np.ndarray:
    """Return features near a random direction for each identity, with noise."""
    noise = np.random.default_rng(seed).normal(size=(len(records), 6))
    centre = {record.pid: np.random.default_rng(record.pid).normal(size=6) for record in records}
    return np.stack([centre[record.pid] for record in records]) + noise


def npz(path: Path, records, **more: object) -> Path:
    values = {
        "features": features_of(records),
        "pid": [record.pid for record in records],
        "camid": [record.camid for record in records],
        "split": [record.split for record in records],
    }
    np.savez(path, **(values | more))
    return path


def expected(records) -> tuple[float, float]:
    """Return Rank-1 and mAP of `features_of`, by the measures alone."""
    split = np.array([record.split for record in records])
    rows, pids, camids = (
        features_of(records),
        *(np.array([getattr(record, name) for record in records]) for name in ("pid", "camid")),
    )
    q, g = split == "query", split == "gallery"
    distmat = np.linalg.norm(rows[q][:, None] - rows[g][None], axis=2)
    found = evaluate(distmat, pids[q], pids[g], camids[q], camids[g])
    return found.rank(1), found.mAP


def compared(run, *arguments: object) -> list[dict]:
    result = run("compare", *arguments, "--dataset", DATASET, "--seconds", 0, "--no-figure", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


def test_a_run_has_the_measures_of_evaluate_and_what_is_deployed(run, trained: Path) -> None:
    (row,) = compared(run, "recipes/bot+dsa")
    told = run("evaluate", "--dataset", DATASET, "--run", trained / "runs" / "recipes" / "bot+dsa", "--json")
    evaluated = json.loads(told.stdout)
    assert (row["rank1"], row["mAP"]) == (evaluated["rank1"], evaluated["mAP"])
    assert row["guide"] is True
    model = torch.load(trained / "runs" / "recipes" / "bot+dsa" / "model.pt")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert row["parameters"] == sum(v.numel() for name, v in model["state"].items() if not name.endswith(buffers))
    assert row["flops"] > 0
    assert row["images_per_second"] > 0
    assert row["machine"].endswith("thread")


def test_what_is_measured_is_kept_until_something_that_decides_it_changes(run, trained: Path, monkeypatch) -> None:
    first = compared(run, "recipes/bot+dsa")

    def fails(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(comparison_rows, "evaluate", fails)
    monkeypatch.setattr(comparison_rows, "images_per_second", fails)
    assert compared(run, "recipes/bot+dsa") == first
    assert compared(run, "mine=recipes/bot+dsa") == [first[0] | {"model": "mine"}]
    for changed in (["--set", "evaluate.flip=true"], ["--set", "evaluate.batch=8"]):
        with pytest.raises(AssertionError, match="measured again"):
            compared(run, "recipes/bot+dsa", *changed)
    for kept in (trained / "compare").iterdir():  # as after a crash of the disk
        kept.write_text("{")
    with pytest.raises(AssertionError, match="measured again"):
        compared(run, "recipes/bot+dsa")


def test_features_of_other_programs(run, place: Path, tiny) -> None:
    records = tiny.records("query", "gallery")
    file = npz(place / "theirs.npz", records)
    (row,) = compared(run, f"theirs={file}")
    assert (row["rank1"], row["mAP"]) == pytest.approx(expected(records))
    assert (row["model"], row["parameters"], row["images_per_second"]) == ("theirs", None, None)
    other = npz(place / "other.npz", records, dataset="msmt17")
    assert read_sides(Files(other), DATASET, tiny.manifest, EvaluateConfig()) is None
    assert [one["model"] for one in compared(run, file, other)] == ["theirs"]


def test_features_of_our_store_are_found_by_key(run, place: Path, tiny) -> None:
    records = tiny.records("query", "gallery")
    rows = features_of(records)
    order = np.random.default_rng(1).permutation(len(records))
    origin = Origin("0" * 64, {}, {"global": 6})

    def store(chosen) -> Path:
        some = [records[row] for row in chosen]
        header = Header(DATASET, {"origin": origin.__dict__, "type": "float32"}, "made up")
        keys, digests = [one.key for one in some], [one.digest for one in some]
        path = place / "features.h5"
        return write_features(path, header, keys, digests, (len(some), 6), "float32", [rows[chosen]])

    (row,) = compared(run, store(order))
    assert (row["rank1"], row["mAP"]) == pytest.approx(expected(records))
    assert read_sides(Files(store(order)), "msmt17", tiny.manifest, EvaluateConfig()) is None
    with pytest.raises(DatasetError, match=r"lack 1 of 16 images that .*first .*--split query --split gallery --out"):
        read_sides(Files(store(order[1:])), DATASET, tiny.manifest, EvaluateConfig())
    records[3] = dataclasses.replace(records[3], digest="f" * 64)  # features of an image that was replaced since
    with pytest.raises(DatasetError, match=rf"has the feature of another {records[3].key} than .*dsa-train embed"):
        read_sides(Files(store(order)), DATASET, tiny.manifest, EvaluateConfig())


def test_every_form_that_evaluate_takes(run, place: Path, tiny) -> None:
    """One matrix of each format with the manifest or a CSV, torchreid's variables, two files, a folder."""
    records = tiny.records("query", "gallery")
    rows, sides = features_of(records), ("query", "gallery")
    split = {side: [n for n, one in enumerate(records) if one.split == side] for side in sides}
    np.save(place / "whole.npy", rows)
    scipy.io.savemat(place / "whole.mat", {"f": rows})
    torch.save(torch.from_numpy(rows), place / "whole.pth")
    theirs = {"qf": rows[split["query"]], "gf": rows[split["gallery"]]}
    for side in sides:
        theirs[f"{side[0]}_pids"] = np.array([records[n].pid for n in split[side]])
        theirs[f"{side[0]}_camids"] = np.array([records[n].camid for n in split[side]])
        np.save(place / f"{side}.npy", rows[split[side]])
    torch.save({name: torch.from_numpy(value) for name, value in theirs.items()}, place / "torchreid.pt")
    np.savez(place / "distances.npz", distmat=np.linalg.norm(theirs["qf"][:, None] - theirs["gf"][None], axis=2))
    (place / "folder").mkdir()
    for one, row in zip(records, rows, strict=True):
        np.save(place / "folder" / f"{Path(one.key).stem}.npy", row)
    table = [f"{one.key},{one.pid},{one.camid},{one.split}" for one in records]
    (place / "labels.csv").write_text("\n".join(["path,pid,camid,split", *table]))
    files = [f"{suffix}={place}/whole.{suffix}" for suffix in ("npy", "mat", "pth")]
    files += [f"two={place}/query.npy,{place}/gallery.npy", f"dump={place}/torchreid.pt", f"folder={place}/folder"]
    files.append(str(place / "distances.npz"))
    for labels in ([], ["--labels", place / "labels.csv"], ["--labels", f"npy={place}/labels.csv"]):
        found = compared(run, *files, *labels)
        assert [row["model"] for row in found] == ["npy", "mat", "pth", "two", "dump", "folder", "distances"]
        for row in found:
            assert (row["rank1"], row["mAP"]) == pytest.approx(expected(records)), row["model"]


def test_what_decides_how_features_are_made_does_not_concern_those_of_a_file(run, place: Path, tiny) -> None:
    file = npz(place / "theirs.npz", tiny.records("query", "gallery"))
    (plain,), (flipped,) = compared(run, file), compared(run, file, "--set", "evaluate.flip=true")
    assert plain == flipped
    seen = run("compare", file, "--dataset", DATASET, "--no-figure", "--set", "evaluate.distance=visible")
    assert seen.exit_code == 2
    assert "evaluate.distance=visible compares eight regions by their visibilities" in seen.output


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"features": np.zeros((3, 2))}, r"has 16 words of 'split' for 3 rows\. Name a CSV"),
        ({"pid": ["a"] * 16}, r"has no identities for its rows\. Name a CSV"),
        ({"pid": [1.5] * 16}, "has 16 identities for 16 rows; expected a whole number for each"),
        ({"split": ["train"] * 16}, "has 0 rows of split query and 0 of split gallery"),
        ({"features": np.full((16, 2), np.nan)}, r"x\.npz: The features of 4 queries, .* are not numbers"),
    ],
)
def test_another_npz_is_refused_in_one_line(wrong: dict, message: str, run, place: Path, tiny) -> None:
    records = tiny.records("query", "gallery")
    assert len(records) == 16
    file = npz(place / "x.npz", records, **wrong)
    refused = run("compare", file, "--dataset", DATASET, "--no-figure")
    assert refused.exit_code == 2
    assert re.search(message, refused.output)
    assert len(refused.output.strip().splitlines()) == 1


@pytest.mark.parametrize("suffix", ["npz", "npy", "mat", "pth", "h5"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04no numpy"])
def test_a_damaged_file_is_refused_in_one_line(suffix: str, content: bytes, run, place: Path) -> None:
    (place / f"x.{suffix}").write_bytes(content)
    refused = run("compare", place / f"x.{suffix}", "--dataset", DATASET, "--no-figure")
    assert refused.exit_code == 2
    assert re.search(rf"x\.{suffix} (cannot be read|is)", refused.output)
    assert len(refused.output.strip().splitlines()) == 1


def test_labels_are_of_features_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    features = str(tmp_path / "a.npy")
    one, two = entries([features, "recipes/bot"], labels=["a=b.csv"])
    assert (one.labels, two.labels) == (Path("b.csv"), None)
    (both,) = entries([features], labels=["c.csv"])
    assert both.labels == Path("c.csv")
    with pytest.raises(ConfigError, match=r"--labels b=c\.csv: 'b' is not the title of features \(a\)"):
        entries([features], labels=["b=c.csv"])
    with pytest.raises(ConfigError, match="--labels is for files of features"):
        entries(["recipes/bot"], labels=["c.csv"])
    with pytest.raises(TrainingError, match=r"none\.npy does not exist"):
        entries([f"{features},{tmp_path}/none.npy"])


def test_a_model_file_of_another_name_is_no_features(model: Path, tmp_path: Path) -> None:
    shutil.copy(model, tmp_path / "best.pt")
    torch.save({"qf": torch.zeros(2, 3)}, tmp_path / "dump.pt")
    mine, dump = entries([str(tmp_path / "best.pt"), str(tmp_path / "dump.pt")])
    assert (mine.is_features, mine.is_experiment, dump.is_features) == (False, False, True)


def test_titles_and_the_guide_on_top() -> None:
    found = entries(["recipes/bot", "mine=table3/dsa-reid"], guided=True)
    assert [(one.title, one.source) for one in found] == [
        ("recipes/bot", "recipes/bot"),
        ("recipes/bot+dsa", "recipes/bot+dsa"),
        ("mine", "table3/dsa-reid"),
        ("mine+dsa", "table3/dsa-reid+dsa"),
    ]
    with pytest.raises(ConfigError, match="Two models have the title 'recipes/bot'"):
        entries(["recipes/bot", "recipes/bot"])
    with pytest.raises(ConfigError, match="has an empty title"):
        entries(["=recipes/bot"])
    with pytest.raises(ConfigError, match="--guided adds nothing here"):
        entries(["recipes/bot+dsa"], guided=True)


def test_a_run_that_is_not_there_is_a_row_without_numbers(run, trained: Path) -> None:
    found = compared(run, "recipes/pcb", "recipes/bot+dsa")
    assert [row["mAP"] is None for row in found] == [True, False]
    nothing = run("compare", "recipes/pcb", "--dataset", DATASET)
    assert nothing.exit_code == 2
    assert "No model of the comparison is trained" in nothing.output
    assert f"dsa-train run --dataset {DATASET} --experiment recipes/pcb" in nothing.output
    misspelt = run("compare", "recipes/pbc", "recipes/bot+dsa", "--dataset", DATASET)
    assert misspelt.exit_code == 2
    assert "Did you mean 'recipes/pcb'?" in misspelt.output
    elsewhere = run("compare", "recipes/bot+dsa", "--dataset", DATASET, "--dataset", "market1501")
    assert "No model of the comparison is trained" not in elsewhere.output  # it is, on one of them


def test_refusals_of_the_command(run, place: Path) -> None:
    for arguments, message in (
        (["recipes/bot"], "Name models and datasets"),
        (["x.npz", "--dataset", DATASET], "x.npz does not exist"),
    ):
        result = run("compare", *arguments)
        assert result.exit_code == 2
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1


def test_table_csv_and_figure(run, trained: Path, tiny) -> None:
    pytest.importorskip("matplotlib", reason="the extra `figure` is not installed")
    file = npz(trained / "theirs.npz", tiny.records("query", "gallery"))
    result = run("compare", "recipes/bot", file, "--guided", "--dataset", DATASET, "--seconds", 0)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert " ".join(lines[0].split()) == "dataset model guide Rank-1 mAP million parameters GFLOP images/s ms/image"
    assert lines[1].split() == [DATASET, "recipes/bot", "not", "trained"]
    assert lines[2].split()[:3] == [DATASET, "recipes/bot+dsa", "yes"]
    with (trained.parent / "compare.csv").open(newline="") as opened:
        read = list(csv.DictReader(opened))
    assert [row["model"] for row in read] == ["recipes/bot", "recipes/bot+dsa", "theirs"]
    assert float(read[1]["mAP"]) == pytest.approx(float(lines[2].split()[4]) / 100, abs=6e-4)
    assert (trained.parent / "compare.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "title",
    ["short", "a" * 200, "beyond/two-levels-of-parts-visible-with-circle-loss-seed-3", "two words " * 9, "-" * 31],
)
def test_titles_have_at_most_two_lines(title: str) -> None:
    lines = wrapped(title, 30).split("\n")
    assert len(lines) == (1 if len(title) <= 30 else 2)
    assert max(map(len, lines)) <= 30
    assert lines[0][:10] == title[:10]
    assert lines[-1].rstrip()[-3:] == title.rstrip()[-3:]


def test_long_titles_stay_inside_the_axes(tmp_path: Path, monkeypatch) -> None:
    figures = pytest.importorskip("matplotlib.figure", reason="the extra `figure` is not installed")
    kept = []
    genuine = figures.Figure.savefig
    monkeypatch.setattr(figures.Figure, "savefig", lambda self, *a, **k: kept.append(self) or genuine(self, *a, **k))
    title = "beyond/two-levels-of-parts-visible-regions-with-circle-loss"
    rows = [Row(f"{title}-{n}", "d", None, 0.8, 0.7 + n / 1000, 1, 1, 1000 / 2**n, "a CPU") for n in range(7)]
    rows.append(Row(f"features-{title}", "d", None, 0.8, 0.71))
    write_figure(rows, tmp_path / "f.png")
    (axes,) = kept[0].axes
    kept[0].canvas.draw()
    inside = axes.get_window_extent()
    boxes = [text.get_window_extent() for text in axes.texts] + [axes.get_legend().get_window_extent()]
    assert len(boxes) == 8
    for box in boxes:
        assert box.x0 >= inside.x0
        assert box.x1 <= inside.x1
        assert box.y0 >= inside.y0
        assert box.y1 <= inside.y1
    texts = boxes[:7]
    assert not any(one.overlaps(other) for n, one in enumerate(texts) for other in texts[n + 1 :])


def test_the_table_names_machines_and_protocols() -> None:
    row = Row("a", "b", None, 0.5, 0.25, 2_000_000, 3 * 10**9, 20.0, "a CPU, 1 thread", "flip test", "0f")
    told = text([row]).splitlines()
    assert told[1].split() == ["b", "a", "50.0", "25.0", "2.00", "3.00", "20.0", "50.00"]
    assert "a CPU, 1 thread" in told[-2]
    assert told[-1] == "Protocol of b: flip test."


def test_speed_is_the_median_of_batches(monkeypatch, model: Path) -> None:
    """Batches that take 1, 9 and 2 seconds by the clock: 4 images in 2 seconds."""
    import dsa_reid
    from dsa_train.comparison import speed

    ticks = iter([0.0, 0.0, 1.0, 1.0, 10.0, 10.0, 12.0, 12.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    assert images_per_second(dsa_reid.load(model), 4, 0) == 2.0
    assert "thread" in machine(torch.device("cpu"))
