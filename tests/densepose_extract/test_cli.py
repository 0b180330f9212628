"""The commands: defaults from the dataclass, one-line errors, what was made and where."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from densepose_dump import densepose, person, save
from densepose_extract.cli import extract_config, main
from densepose_extract.engines.part_masks import read_mapping
from dsa_app.config import Settings
from dsa_data import images
from dsa_data.stores.iuv import IuvStore, refine
from rendered_people import agreement, rendered_people
from tiny import random_iuv, write_iuv_image, write_true_maps


@pytest.fixture
def synthetic(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny dataset in the folder of the synthetic one; returns the folder of its artifacts."""
    write_true_maps(market)
    shutil.move(market, tmp_path / "datasets" / "synthetic")
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts" / "synthetic"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    """Call a command that must fail; return its one-line error."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (error,) = [part for part in result.stderr.split("error: ") if part]
    return error


def test_run_lists_extracts_and_reports(synthetic: Path) -> None:
    result = call("run", "--dataset", "synthetic", "--set", "extract.errors.missed=0")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{synthetic / 'manifest.csv'}: 16 images of ")
    assert lines[1].startswith(f"{synthetic / 'iuv.h5'}: 16 maps, 0.0 MiB")
    assert lines[2].startswith("16 maps made in ")
    assert lines[3] == "15 found, 0 fallback, 1 none: 1 show no person; their maps are empty"
    assert "up to date" in call("run", "--dataset", "synthetic", "--set", "extract.errors.missed=0").stdout
    assert "errors.missed was 0.0, this run wants 0.15" in refused("run", "--dataset", "synthetic")


def test_import_gives_the_same_maps_in_both_orders(synthetic: Path, tmp_path: Path) -> None:
    assert call("run", "--dataset", "synthetic", "--set", "extract.errors.rate=0").exit_code == 0
    rendered = IuvStore(synthetic / "iuv.h5")
    truth = tmp_path / "datasets" / "synthetic" / "iuv"
    reversed_ = tmp_path / "reversed"
    for path in truth.rglob("*.png"):
        write_iuv_image(reversed_ / path.relative_to(truth), images.read(path), "bgr")
    for folder in (truth, reversed_):
        result = call("import", "--dataset", "synthetic", "--from", folder, "--out", tmp_path / f"{folder.name}.h5")
        assert result.exit_code == 0, result.stderr
        imported = IuvStore(tmp_path / f"{folder.name}.h5")
        assert imported.checksums == rendered.checksums
        assert imported.statuses == rendered.statuses
        assert imported.header.configuration == {"engine": "import"}


def test_import_of_a_dump(synthetic: Path, tmp_path: Path) -> None:
    """One dump of all images, one of them without a person; a second run finds the store up to date."""
    root = tmp_path / "datasets" / "synthetic"
    keys = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    with densepose() as classes:
        content = []
        for number, key in enumerate(keys):
            box = (1.0, 2.0, 11.0, 22.0)
            labels, uv = person(box, number)
            entry = {
                "file_name": f"/home/me/{key}",
                "scores": torch.tensor([0.5]),
                "pred_boxes_XYXY": torch.tensor([box]),
                "pred_densepose": [classes.DensePoseChartResultWithConfidences(labels, uv)],
            }
            if number == 1:  # the first one is junk, which the manifest does not list
                entry |= {"scores": torch.zeros(0), "pred_boxes_XYXY": torch.zeros(0, 4), "pred_densepose": []}
            content.append(entry)
        dump = save(tmp_path / "results.pkl", content, "torch.save")
    result = call("import", "--dataset", "synthetic", "--from", dump, "--bits", "16")
    assert result.exit_code == 0, result.stderr
    store = IuvStore(synthetic / "iuv.h5")
    assert sorted(store.statuses) == ["found"] * 15 + ["none"]
    one = store.read(store.keys.index(keys[3]))
    labels, uv = person((1.0, 2.0, 11.0, 22.0), 3)
    assert np.array_equal(one.iuv[2:22, 1:11, 0], labels.numpy())
    assert one.fine is not None
    assert np.array_equal(one.fine[2:22, 1:11], refine(labels.numpy(), *uv.numpy()))
    assert one.score == 0.5
    assert "up to date" in call("import", "--dataset", "synthetic", "--from", dump, "--bits", "16").stdout
    assert "has both: leave it out" in refused(
        "import", "--dataset", "synthetic", "--from", dump, "--mapping", "lip", "--overwrite"
    )


def test_import_of_part_masks_with_scores(synthetic: Path, tmp_path: Path) -> None:
    """The store has I alone, with how sure each map is."""
    root, masks = tmp_path / "datasets" / "synthetic", tmp_path / "masks"
    paths = sorted(root.rglob("*.jpg"))
    lines = ["key,score,confidence"]
    for number, path in enumerate(paths):
        target = masks / path.relative_to(root).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        height, width = images.read(path).shape[:2]
        labels = np.random.default_rng(number).integers(0, 20, (height, width), dtype=np.uint8)
        Image.fromarray(labels).save(target)
        lines.append(f"{path.relative_to(root)},0.5,0.{number:02}")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    options = ["--from", masks, "--mapping", "lip", "--scores", tmp_path / "scores.csv"]
    assert "bits = 16 is invalid" in refused("import", "--dataset", "synthetic", *options, "--bits", "16")
    result = call("import", "--dataset", "synthetic", *options, "--jobs", "2")
    assert result.exit_code == 0, result.stderr
    store = IuvStore(synthetic / "iuv.h5")
    assert not store.has_uv
    assert store.confidence == "images"
    number = store.keys.index(str(paths[5].relative_to(root)))
    assert store.read(number).image_confidence == np.float32(0.05)
    mapping = read_mapping("lip")
    expected = [
        mapping[label] for label in images.read(masks / paths[5].relative_to(root).with_suffix(".png"))[..., 0].flat
    ]
    assert store.read(number).iuv[..., 0].ravel().tolist() == expected
    assert set(store.scores.tolist()) == {0.5}


def test_import_for_a_folder_of_images(tmp_path: Path) -> None:
    folder, out = tmp_path / "holiday", tmp_path / "made" / "iuv.h5"
    for name, order in (("a", "rgb"), ("sub/b", "bgr")):
        iuv = write_iuv_image(folder / f"{name}_IUV.png", random_iuv(20, 10), order)
        images.write_png(iuv.with_name(iuv.name.replace("_IUV", "")), random_iuv(20, 10, 5))
    result = call("import", "--from", folder, "--pictures", folder, "--out", out)
    assert result.exit_code == 0, result.stderr
    store = IuvStore(out)
    assert (store.keys, store.header.dataset) == (["a.png", "sub/b.png"], "holiday")
    assert (store.read(0).iuv == store.read(1).iuv).all()
    assert "all,0,0" in (out.parent / "manifest.csv").read_text()
    (folder / "sub" / "b_IUV.png").unlink()
    assert "--allow-missing" in refused("import", "--from", folder, "--pictures", folder, "--out", out)
    result = call("import", "--from", folder, "--pictures", folder, "--out", out, "--allow-missing")
    assert "1 images have no map" in result.stdout
    assert "1 found, 0 fallback, 1 none" in result.stdout
    for command in (["show", "a.png"], ["show", "--sheet", "2"], ["stats"]):
        assert call(*command, "--pictures", folder, "--iuv", out).exit_code == 0
    assert {"iuv.png", "iuv_sheet.png"} <= {path.name for path in out.parent.iterdir()}


def test_show_and_stats(synthetic: Path, tmp_path: Path) -> None:
    call("run", "--dataset", "synthetic")
    key = IuvStore(synthetic / "iuv.h5").keys[3]
    result = call("show", key, "--dataset", "synthetic", "--out", tmp_path / "x.png")
    assert result.stdout.strip() == str(tmp_path / "x.png")
    assert images.read(tmp_path / "x.png").shape[2] == 3
    result = call("show", "--dataset", "synthetic", "--sheet", "4", "--seed", "3")
    assert result.stdout.strip() == str(synthetic / "iuv_sheet.png")
    assert "total" in call("stats", "--dataset", "synthetic").stdout
    found = json.loads(call("stats", "--dataset", "synthetic", "--json").stdout)
    assert found["images"] == len(IuvStore(synthetic / "iuv.h5"))
    assert "Name the images to show" in refused("show", "--dataset", "synthetic")


def test_options_precede_settings_which_precede_defaults(tmp_path: Path) -> None:
    settings = Settings("synthetic", None, {"extract": {"engine": "native", "batch": 4}}, "params.yaml")
    config = extract_config(settings, {"batch": 8, "engine": None, "precision": None})
    assert (config.batch, config.engine, config.precision) == (8, "native", "fp32")


def test_the_help_shows_the_dataclass_defaults() -> None:
    text = " ".join(call("run", "--help").stdout.split())
    for default in ("[auto]", "[R_50_FPN_s1x]", "[fp32]", "[16]"):
        assert default in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "No dataset is given"),
        (["run", "--dataset", "synthetik"], "Unknown dataset 'synthetik'. Did you mean 'synthetic'"),
        (["run", "--dataset", "market1501"], "market1501 is missing"),
        (["run", "--dataset", "synthetic", "--set", "extract.bach=2"], "Did you mean 'batch'"),
        (
            ["run", "--dataset", "synthetic", "--engine", "native", "--checkpoint", "R_50"],
            "neither a file nor a known name",
        ),
        (["run", "--dataset", "synthetic", "--engine", "import"], "needs the folder of the IUV images"),
        (["run", "--dataset", "synthetic", "--engine", "keypoints"], "needs the file or folder of the keypoints"),
        (["run", "--dataset", "synthetic", "--keypoints", "k.json"], "rendered does not use --keypoints"),
        (
            ["run", "--dataset", "synthetic", "--engine", "native", "--pose-model", "x"],
            "its engine: --engine pose",
        ),
        (
            ["run", "--dataset", "synthetic", "--engine", "pose", "--batch", "4"],
            "does not use --batch. Leave",
        ),
        (["run", "--pictures", "."], "needs the path of its store"),
        (["import", "--dataset", "synthetic", "--from", "nowhere"], "nowhere is not a folder"),
        (["show", "x", "--dataset", "synthetic"], "iuv.h5 does not exist"),
        (["stats", "--dataset", "synthetic"], "iuv.h5 does not exist"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    synthetic: Path, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no params.yaml names a dataset
    error = refused(*arguments)
    assert message in error
    assert "Traceback" not in error


def test_keypoints_of_a_folder_of_images(tmp_path: Path) -> None:
    """YOLO's text files, of which one image has none and one fits no image."""
    person = rendered_people(2)[1]
    for name in ("a", "b"):
        images.write_png(tmp_path / "pictures" / f"{name}.png", person.image)
    shares = " ".join(f"{value:.6f}" for value in (person.keypoints / [64, 128, 1]).ravel())
    (tmp_path / "labels").mkdir()
    for name in ("a", "c"):
        (tmp_path / "labels" / f"{name}.txt").write_text(f"0 0.5 0.5 1 1 {shares} 0.8\n")
    arguments = ["--pictures", str(tmp_path / "pictures"), "--out", str(tmp_path / "iuv.h5"), "--engine", "keypoints"]
    arguments += ["--keypoints", str(tmp_path / "labels")]
    assert "no keypoints for 1 of 2 images, first b.png" in refused("run", *arguments)
    result = call("run", *arguments, "--allow-missing")
    assert "1 images have no keypoints and count as no person detected" in result.stdout
    assert "note: 1 names of the keypoints fit no image of the manifest, first c" in result.stderr
    store = IuvStore(tmp_path / "iuv.h5")
    assert store.statuses == ["found", "none"]
    assert agreement(store.read(0).iuv, person.iuv)[2] > 0.7
    assert "up to date" in call("run", *arguments, "--allow-missing").stdout


def test_other_settings_are_refused_and_named(synthetic: Path, tmp_path: Path) -> None:
    call("run", "--dataset", "synthetic")
    truth = tmp_path / "datasets" / "synthetic" / "iuv"
    error = refused("import", "--dataset", "synthetic", "--from", truth)
    assert "engine was rendered, this run wants import" in error
    assert "--overwrite" in error
    assert call("import", "--dataset", "synthetic", "--from", truth, "--overwrite").exit_code == 0


def test_run_with_confidence_and_what_shows_it(synthetic: Path) -> None:
    assert call("run", "--dataset", "synthetic").exit_code == 0
    assert "confidence" in refused("run", "--dataset", "synthetic", "--confidence")
    result = call("run", "--dataset", "synthetic", "--confidence", "--overwrite")
    assert result.exit_code == 0, result.stderr
    with IuvStore(synthetic / "iuv.h5") as store:
        assert (store.version, store.confidence) == (3, "pixels")
    stats = call("stats", "--dataset", "synthetic")
    assert "confidence, where a person was detected" in stats.stdout, stats.stderr
    assert call("show", "--dataset", "synthetic", "--sheet", "4").exit_code == 0
    assert "native and rendered" in refused("run", "--dataset", "synthetic", "--confidence", "--engine", "detectron2")
