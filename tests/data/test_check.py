"""`dsa-data check`, `stats`, `list` and `prepare`: counts beside the published ones, queries that nobody answers."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import trees
from click.testing import CliRunner, Result

from data import check, sets
from data.cli import main
from data.records import Entry
from data.sets.dataset import published


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_dataset_as_published(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.market1501(datasets)
    tiny = dataclasses.replace(sets.SETS["market1501"], published=published((12, 4), (6, 3), (10, 3)), cameras=3)
    monkeypatch.setitem(sets.SETS, "market1501", tiny)
    result = call("check", "--dataset", "market1501")
    assert result.exit_code == 0
    assert "as published" in result.output
    assert result.output.splitlines()[1].split() == ["train", "12", "4", "3", "12", "4"]


def test_what_is_missing_and_how_to_get_it(datasets: Path) -> None:
    missing = call("check", "--dataset", "dukemtmcreid")
    assert missing.exit_code == 2
    assert f"{datasets}/dukemtmcreid is missing. Its authors withdrew it" in missing.output
    trees.cuhk01(datasets)
    result = call("check", "--dataset", "cuhk01")
    assert result.exit_code == 2
    assert "train has 16 pictures, 1,940 were published; train has 4 identities, 485 were published" in result.output
    assert "Ask its authors for CUHK01.zip" in result.output
    assert "Traceback" not in result.output


def test_every_dataset_says_how_to_get_it(datasets: Path) -> None:
    told = call("list").output
    for name, dataset in sets.SETS.items():
        assert f"{name} " in told
        result = call("check", "--dataset", name)
        assert result.exit_code == 2
        assert dataset.source in result.output


def entry(split: str, pid: int, camid: int) -> Entry:
    return Entry(f"{split}/{pid}_{camid}.png", split, pid, camid)


def test_queries_that_nobody_answers() -> None:
    gallery = [entry("gallery", 1, 2), entry("gallery", 2, 1)]
    assert check.unmatched([entry("query", 1, 1), *gallery]) is None
    told = check.unmatched([entry("query", 1, 1), entry("query", 2, 1), entry("query", 3, 1), *gallery])
    assert told is not None
    assert told.startswith(
        "2 of 3 queries have no gallery picture of their person from another camera, first query/2_1"
    )
    swapped = check.unmatched([entry("query", 2, 1), *gallery])
    assert swapped is not None
    assert swapped.startswith("No query has a gallery picture of its person from another camera")


def test_one_camera_data(datasets: Path) -> None:
    trees.draw(datasets / "shop", ["1.png", "2.png", "3.png"])
    rows = ["path,pid,camid,split", "1.png,1,1,train", "2.png,2,1,query", "3.png,2,1,gallery"]
    (datasets / "shop" / "dataset.csv").write_text("\n".join(rows))
    prepared = call("prepare", "--dataset", "shop")
    assert prepared.exit_code == 0
    assert "note: All pictures have the same camera number" in prepared.output
    result = call("check", "--dataset", "shop")
    assert result.exit_code == 2
    assert "--set evaluate.cameras=ignore" in result.output


def test_prepare_tells_of_protocols_and_differences(datasets: Path) -> None:
    trees.cuhk03(datasets)
    result = call("prepare", "--dataset", "cuhk03-classic-detected")
    assert result.exit_code == 0
    assert "protocols/split19.csv" in result.output
    again = call("prepare", "--dataset", "cuhk03-detected")
    assert "note: not the whole dataset as published: dsa-data check --dataset cuhk03-detected" in again.output


def test_stats_and_sheet_of_every_form(datasets: Path) -> None:
    for make in (trees.market1501, trees.dukemtmcreid, trees.cuhk03, trees.cuhk03_np, trees.cuhk01, trees.msmt17):
        make(datasets)
    names = [name for name in sets.SETS if name != "synthetic"]
    for name in names:
        told = call("stats", "--dataset", name)
        assert told.exit_code == 0, told.output
        assert "split         pictures  identities  cameras" in told.output
    drawn = call("sheet", "--dataset", "cuhk03-labeled", "--identities", "3")
    assert drawn.exit_code == 0
    assert Path(drawn.output.split()[-1]).exists()
    shutil.rmtree(datasets / "cuhk03")
