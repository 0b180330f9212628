"""`dsa-data check`, `stats`, `list`, `prepare`: counts and published counts, queries without a correct match."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import trees
from dsa_data import check, sets
from dsa_data.cli import main
from dsa_data.records import Entry
from dsa_data.sets.dataset import Count, published


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_dataset_with_the_published_counts(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.market1501(datasets)
    tiny = dataclasses.replace(sets.SETS["market1501"], published=published((12, 4), (6, 3), (10, 3)), cameras=3)
    monkeypatch.setitem(sets.SETS, "market1501", tiny)
    result = call("check", "--dataset", "market1501")
    assert result.exit_code == 0
    assert "as published" in result.output
    assert result.output.splitlines()[1].split() == ["train", "12", "4", "3", "12", "4"]
    found = json.loads(call("check", "--dataset", "market1501", "--json").stdout)
    assert found["splits"][0] == {
        "split": "train", "images": 12, "identities": 4, "cameras": 3, "published": {"images": 12, "identities": 4},
    }  # fmt: skip
    assert (found["compared"], found["missing"], found["deviations"]) == (True, None, [])


def test_a_missing_dataset_is_reported_with_its_source(datasets: Path) -> None:
    missing = call("check", "--dataset", "dukemtmcreid")
    assert missing.exit_code == 2
    assert f"{datasets}/dukemtmcreid is missing. Its authors withdrew it" in missing.output
    trees.cuhk01(datasets)
    result = call("check", "--dataset", "cuhk01")
    assert result.exit_code == 2
    assert "train has 16 images, 1,940 were published; train has 4 identities, 485 were published" in result.output
    assert "Ask its authors for CUHK01.zip" in result.output
    assert "Traceback" not in result.output
    plain = call("check", "--dataset", "cuhk01", "--json")
    assert plain.exit_code == 2
    assert json.loads(plain.stdout)["deviations"][0] == "train has 16 images, 1,940 were published"
    assert plain.stderr.startswith("error: ")


def test_a_protocol_of_several_splits_is_counted_in_total(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.cuhk03(datasets)
    name = "cuhk03-classic-labeled"
    result = call("check", "--dataset", name)
    assert result.exit_code == 2
    assert "there are 95 images, 14,096 were published; there are 10 identities, 1,467 were" in result.output
    assert sets.SETS["cuhk03-classic-detected"].total == Count(14097, 1467)
    monkeypatch.setitem(sets.SETS, name, dataclasses.replace(sets.SETS[name], total=Count(95, 10)))
    assert call("check", "--dataset", name).output.endswith("the first of the classic splits, as published\n")


def test_listed_images_that_are_missing_are_counted(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.msmt17(datasets)
    tiny = dataclasses.replace(sets.SETS["msmt17"], published=published((16, 4), (3, 3), (9, 3)), cameras=4)
    monkeypatch.setitem(sets.SETS, "msmt17", tiny)
    assert call("check", "--dataset", "msmt17").exit_code == 0
    shutil.rmtree(root / "test" / "0001")
    result = call("check", "--dataset", "msmt17")
    assert result.exit_code == 2
    assert "4 of 28 listed images are missing, first test/0001/0001_000_01" in result.output
    assert "Ask its authors for MSMT17" in result.output


def test_queries_that_the_evaluation_leaves_out_are_a_note(datasets: Path) -> None:
    root = trees.market1501(datasets, "shop")
    shutil.copy(root / "query" / "0003_c1s1_000301_00.jpg", root / "query" / "0004_c1s1_000301_00.jpg")
    result = call("check", "--dataset", "shop")
    assert result.exit_code == 0
    assert "note: 1 of 7 queries have no gallery image of their person from another camera" in result.output
    assert "no published counts to compare with" in result.output


def test_every_dataset_has_a_source(datasets: Path) -> None:
    output = call("list").output
    for name, dataset in sets.SETS.items():
        assert f"{name} " in output
        result = call("check", "--dataset", name)
        assert result.exit_code == 2
        assert dataset.source in result.output.replace(f" --dataset {name}", "")


def test_the_users_own_datasets_are_listed(datasets: Path) -> None:
    trees.market1501(datasets, "shop")
    trees.write_images(datasets / "mine", ["1.png"])
    (datasets / "mine" / "dataset.csv").write_text("path,pid,camid,split\n1.png,1,1,train\n")
    trees.write_images(datasets / "people", ["anna/1.png"])
    for name in ("empty", "with space", ".cache", "synthetic-tables"):
        (datasets / name).mkdir()
    lines = call("list").output.splitlines()
    for name, text in {
        "shop": "your own dataset, in Market-1501's layout",
        "mine": "your own dataset, listed by dataset.csv",
        "people": "not readable as a dataset: dsa-data check --dataset people says why",
        "empty": "not readable as a dataset",
        "with space": "not usable under this name",
        "synthetic-tables": "rendered people",
    }.items():
        assert any(line.startswith(f"{name:26}{text}") for line in lines), name
    assert not any(".cache" in line for line in lines)


def test_training_images_in_the_test_are_noted(datasets: Path) -> None:
    root = trees.market1501(datasets, "shop")
    shutil.copy(root / "bounding_box_train" / "0002_c1s1_000251_01.jpg", root / "query" / "0001_c3s1_000009_00.jpg")
    shutil.copy(root / "bounding_box_train" / "0002_c1s1_000251_01.jpg", root / "bounding_box_test" / "0000_c9s1_1.jpg")
    note = (
        "note: 2 images of query and gallery are, byte for byte, training images too, first "
        "bounding_box_test/0000_c9s1_1.jpg and bounding_box_train/0002_c1s1_000251_01.jpg"
    )
    assert note in call("prepare", "--dataset", "shop").output
    checked = call("check", "--dataset", "shop")
    assert note in checked.output
    assert checked.exit_code == 0
    assert "byte for byte" not in call("prepare", "--dataset", trees.market1501(datasets, "other").name).output


def test_images_that_a_table_does_not_list_are_noted(datasets: Path) -> None:
    root = trees.write_images(datasets / "mine", ["1.png", "2.png", "3.png", "4.png", "x/5.png"])
    rows = ["path,pid,camid,split", "1.png,1,1,train", "2.png,2,1,query", "3.png,2,2,gallery"]
    (root / "dataset.csv").write_text("\n".join(rows))
    assert (
        f"note: 2 images are not in {root / 'dataset.csv'}, or are junk there, first 4.png"
        in call("check", "--dataset", "mine").output
    )


def entry(split: str, pid: int, camid: int) -> Entry:
    return Entry(f"{split}/{pid}_{camid}.png", split, pid, camid)


def test_queries_without_a_correct_match() -> None:
    gallery = [entry("gallery", 1, 2), entry("gallery", 2, 1)]
    assert check.unmatched([entry("query", 1, 1), *gallery]) is None
    text = check.unmatched([entry("query", 1, 1), entry("query", 2, 1), entry("query", 3, 1), *gallery])
    assert text is not None
    assert text.startswith("2 of 3 queries have no gallery image of their person from another camera, first query/2_1")
    swapped = check.unmatched([entry("query", 2, 1), *gallery])
    assert swapped is not None
    assert swapped.startswith("No query has a gallery image of its person from another camera")
    for others in ([], [entry("gallery", 1, 2)]):
        text = check.unmatched([entry("query", 2, 1), *others])
        assert text is not None
        assert text.startswith("The gallery has no image of any person of the 1 queries")


def test_a_dataset_of_one_camera(datasets: Path) -> None:
    trees.write_images(datasets / "shop", ["1.png", "2.png", "3.png"])
    rows = ["path,pid,camid,split", "1.png,1,1,train", "2.png,2,1,query", "3.png,2,1,gallery"]
    (datasets / "shop" / "dataset.csv").write_text("\n".join(rows))
    prepared = call("prepare", "--dataset", "shop")
    assert prepared.exit_code == 0
    assert "note: All images have the same camera number" in prepared.output
    result = call("check", "--dataset", "shop")
    assert result.exit_code == 2
    assert "--set evaluate.cameras=ignore" in result.output


def test_prepare_reports_protocols_and_deviating_counts(datasets: Path) -> None:
    trees.cuhk03(datasets)
    result = call("prepare", "--dataset", "cuhk03-classic-detected")
    assert result.exit_code == 0
    assert "protocols/split19.csv" in result.output
    plain = json.loads(call("prepare", "--dataset", "cuhk03-classic-detected", "--json", "--quiet").stdout)
    assert len(plain["protocols"]) == 20
    assert Path(plain["manifest"]).is_file()
    assert plain["splits"] == check.plain(sets.scan("cuhk03-classic-detected"))
    again = call("prepare", "--dataset", "cuhk03-detected")
    assert "note: the counts differ from the published ones: dsa-data check --dataset cuhk03-detected" in again.output


def test_list_and_stats_as_json(datasets: Path) -> None:
    root = trees.market1501(datasets, "shop")
    listed = {one["name"]: one for one in json.loads(call("list", "--json").stdout)["datasets"]}
    assert list(sets.SETS) == [name for name in listed if name != "shop"]
    assert listed["shop"] == {
        "name": "shop",
        "title": "your own dataset, in Market-1501's layout",
        "folder": str(root),
        "exists": True,
    }
    assert listed["msmt17"]["exists"] is False
    found = json.loads(call("stats", "--dataset", "shop", "--json").stdout)
    assert found["dataset"] == "shop"
    lines = call("stats", "--dataset", "shop").stdout.splitlines()[1:]
    assert [[str(value) for value in row.values()] for row in found["splits"]] == [line.split() for line in lines]


@pytest.mark.slow
def test_stats_sheet_and_check_of_every_dataset(datasets: Path) -> None:
    for make in trees.ALL:
        make(datasets)
    names = [name for name in sets.SETS if name != "synthetic"]
    for name in names:
        stats = call("stats", "--dataset", name)
        assert stats.exit_code == 0, stats.output
        assert "split           images  identities  " in stats.output
        sheet = call("sheet", "--dataset", name, "--identities", "3")
        assert sheet.exit_code == 0, sheet.output
        assert Path(sheet.output.split()[-1]).exists()
        checked = call("check", "--dataset", name)
        assert checked.exit_code == 2
        assert "were published" in checked.output
        assert sets.SETS[name].source in checked.output
