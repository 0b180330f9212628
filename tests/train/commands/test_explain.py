import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dsa_reid
from densepose_extract.engines.map_files import map_name
from dsa_data.images import encode_png, read
from dsa_data.sets.rendered import NOTE
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_train.cli import main
from dsa_train.commands.explain import explain
from dsa_train.explain import explanation

QUERY = "query/0031_c1s1_000000_00.png"


def model(path: Path, seed: int = 0, **changes) -> Path:
    torch.manual_seed(seed)
    stream = dsa_reid.MainStream(dsa_reid.MainStreamConfig(**{"trunk": "resnet18", "width": 0.125, **changes}))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    dsa_reid.save(stream, path, dsa_reid.Preprocessing(32, 16))
    return path


def made_up_map(record) -> np.ndarray:
    """Charts in bands from head to foot over the middle of an image."""
    iuv = np.zeros((record.height, record.width, 3), np.uint8)
    bands = np.array([23, 1, 2, 15, 19, 3, 7, 11, 5])
    rows = np.arange(record.height) * len(bands) // record.height
    iuv[:, 4:-4, 0] = bands[rows][:, None]
    return iuv


def write_maps(path: Path, records, maps) -> None:
    box, nan = np.full(4, np.nan, np.float32), float("nan")
    stored = [
        IuvMap(one, nan, box, "found", record.digest, "0" * 64) for record, one in zip(records, maps, strict=True)
    ]
    shapes = np.array([one.shape[:2] for one in maps])
    write_iuv(path, Header("market1501", {"engine": "native"}, "made up"), [r.key for r in records], shapes, stored)


@pytest.fixture
def artifacts(tiny, tmp_path, monkeypatch) -> Path:
    """Where the tiny dataset passes for market1501, with two runs of untrained networks and maps; the artifacts."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "market1501").symlink_to(tiny.root)
    made = tmp_path / "artifacts" / "market1501"
    made.mkdir(parents=True)
    shutil.copy(tiny.manifest, made)
    records = tiny.records()
    write_maps(made / "iuv.h5", records, [made_up_map(record) for record in records])
    model(made / "runs" / "paper" / "model.pt")
    model(made / "runs" / "table3" / "two-branches" / "model.pt", seed=1)
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    return made


def run_explain(*arguments):
    return CliRunner().invoke(
        main, ["explain", "--dataset", "market1501", *map(str, arguments)], catch_exceptions=False
    )


def test_a_page_of_two_networks(artifacts):
    both = run_explain(QUERY, "--against", artifacts / "runs" / "table3" / "two-branches")
    assert both.exit_code == 0
    assert both.output.splitlines()[-1] == str(artifacts / "explain.png")
    page = read(artifacts / "explain.png")
    alone = run_explain(QUERY, "--out", artifacts / "alone.png")
    assert alone.exit_code == 0
    one = read(artifacts / "alone.png")
    assert one.shape[1] == page.shape[1]
    assert page.shape[0] > one.shape[0] + 192
    np.testing.assert_array_equal(page[: one.shape[0] // 2], one[: one.shape[0] // 2])


@pytest.mark.parametrize("method", ["occlusion", "shares"])
@pytest.mark.parametrize(
    "changes", [{"heads": "global"}, {"heads": "local", "neck": "bn"}, {"pooling": "gem", "local_input": "full"}]
)
def test_every_network_has_heat_maps(artifacts, tmp_path, method, changes):
    other = model(tmp_path / "other" / "model.pt", **changes)
    assert run_explain("--count", 1, "--run", other, "--method", method).exit_code == 0
    assert run_explain("--count", 2, "--against", other, "--method", method).exit_code == 0
    assert run_explain("--count", 2, "--run", other, "--regions").exit_code == 0


def test_a_timm_trunk_has_heat_maps(artifacts, tmp_path):
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    other = model(tmp_path / "model.pt", trunk="timm/convnext_atto", width=1.0, size=(32, 16))
    for method in ("occlusion", "shares"):
        assert run_explain(QUERY, "--run", other, "--method", method, "--stride", 4).exit_code == 0


def test_the_same_queries_for_the_same_seed(artifacts):
    pages = []
    for number, seed in enumerate((0, 0, 3)):
        out = artifacts / f"{number}.png"
        assert run_explain("--count", 2, "--seed", seed, "--stride", 4, "--out", out).exit_code == 0
        pages.append(out.read_bytes())
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]


def test_a_page_of_means_is_the_mean_of_the_maps_of_its_images(artifacts, tiny):
    runs = [artifacts / "runs" / "paper", artifacts / "runs" / "table3" / "two-branches"]
    queries = [record.key for record in tiny.records("query")][:2]
    device, root = torch.device("cpu"), tiny.root
    subject = explanation.read_subject(runs, tiny.manifest, root, queries, 2, 0, None, artifacts / "iuv.h5", device)
    shown = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation.heat_maps, "page", lambda rows, *_: shown.setdefault("rows", rows))
        explanation.mean_page(subject, "occlusion", stride=4)
        of_both = shown.pop("rows")
        explanation.heat_map_page(subject, "occlusion", stride=4)
        of_each = shown.pop("rows")
    assert [row.title for row in of_both] == ["paper:  mean of 2 images", "two-branches:  mean of 2 images"]
    for row, mean in enumerate(of_both):
        for feature, values in mean.maps.items():
            both = [of_each[row].maps[feature], of_each[row + 2].maps[feature]]
            np.testing.assert_allclose(values, np.mean(both, axis=0), rtol=1e-6)
        np.testing.assert_array_equal(mean.regions["head"][:3, 4:-4], True)  # the top band of both maps
        assert mean.image[:, 8].min() == 255  # a person in each image
        assert mean.image[:, 0].max() == 64


def test_a_page_of_means_needs_no_maps(artifacts):
    (artifacts / "iuv.h5").unlink()
    assert run_explain("--mean", "--count", 2, "--stride", 4, "--method", "shares").exit_code == 0
    assert read(artifacts / "explain.png").shape[0] > 192


def test_the_table_by_region(artifacts, tiny):
    table = ["--regions", "--against", artifacts / "runs" / "table3" / "two-branches"]
    told = run_explain(*table)
    assert told.exit_code == 0
    assert "In each cell: paper | two-branches" in told.output
    assert f"Regions by the maps of {artifacts}/iuv.h5, engine native: not ground truth." in told.output

    found = json.loads(run_explain(*table, "--json").stdout)
    assert set(found["networks"]) == {"paper", "two-branches"}
    one = found["networks"]["paper"]
    assert one["pictures"] == dict.fromkeys(one["pictures"], 4), "all four queries show every region"
    assert one["reaction"]["global"]["torso"] > 0
    assert 0 < one["diagonal"]["share"] < 1
    few = json.loads(run_explain(*table, "--json", "--count", "2").stdout)["networks"]["paper"]
    assert few["pictures"]["head"] == 2


def test_regions_of_a_rendered_dataset_are_the_ground_truth(artifacts, tmp_path, tiny):
    drawn = tmp_path / "datasets" / "drawn"
    shutil.copytree(tiny.root, drawn)
    (drawn / NOTE).write_text("{}")
    for record in tiny.records("query"):
        path = drawn / "iuv" / map_name(record.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        iuv = made_up_map(record)
        iuv[..., 1:] = np.where(iuv[..., :1] > 0, (90, 200), 0)
        path.write_bytes(encode_png(iuv))
    made = artifacts.with_name("drawn")
    made.mkdir()
    shutil.copy(tiny.manifest, made)
    run = ["--dataset", "drawn", "--run", str(artifacts / "runs" / "paper"), "--regions"]
    told = CliRunner().invoke(explain, run, catch_exceptions=False)
    assert told.exit_code == 0
    assert "Regions by the renderer's ground truth." in told.output
    named = CliRunner().invoke(explain, [*run, "--iuv", str(artifacts / "iuv.h5")], catch_exceptions=False)
    assert "not ground truth" in named.output


def test_a_page_without_maps_has_no_outlines(artifacts):
    (artifacts / "iuv.h5").unlink()
    assert run_explain(QUERY).exit_code == 0
    refused = run_explain("--regions")
    assert refused.exit_code == 2
    assert "iuv.h5 does not exist, and its I, U, V maps show where" in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query/0031_c1s1_000000_01.png"], f"Did you mean '{QUERY}'?"),
        (["--run", "nowhere/model.pt"], "nowhere/model.pt does not exist. Name another run"),
        (["--json"], "--json is for --regions"),
        (["--mean", "--regions"], "--mean is for heat maps"),
        (["--window", 4, "--stride", 5], "leaves pixels uncovered"),
        (["--device", "cuda:9"], "Device 'cuda:9' cannot be used"),
        (["--regions", "--iuv", "nowhere.h5"], "nowhere.h5 does not exist"),
        (["--manifest", "nowhere.csv"], "nowhere.csv does not exist"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(artifacts, arguments, message):
    result = run_explain(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_no_visible_person_is_refused(artifacts, tiny):
    records = tiny.records()
    nobody = [np.zeros((record.height, record.width, 3), np.uint8) for record in records]
    write_maps(artifacts / "iuv.h5", records, nobody)
    result = run_explain("--regions")
    assert result.exit_code == 2
    assert "No person is visible in 4 images" in result.output


def test_two_runs_of_one_name_are_named_by_their_paths(artifacts, tmp_path):
    model(tmp_path / "other" / "paper" / "model.pt", seed=2)
    told = run_explain("--regions", "--against", tmp_path / "other" / "paper", "--count", 1)
    assert f"{artifacts}/runs/paper | {tmp_path}/other/paper" in told.output
