"""`dsa-train embed`: from a model file and images to features, with its faults."""

import csv
import fcntl
import re
import shutil

import numpy as np
import pytest

import dsa_reid
from dsa_data.images import read
from dsa_data.records import read_manifest
from dsa_data.stores.features import FeatureStore
from dsa_train.gallery.feature_files import open_features
from thin import PREPROCESSING, write_model


@pytest.mark.parametrize(
    ("ending", "dtype"), [("h5", "float32"), ("h5", "float16"), ("npy", "float32"), ("npy", "float16")]
)
def test_embedded_as_python_would(run, tmp_path, model, image_folder, ending, dtype):
    out = tmp_path / f"features.{ending}"
    done = run("embed", image_folder, "--model", model, "--out", out, "--type", dtype, "--batch", 5)
    assert done.exit_code == 0, done.output
    features = open_features(out)
    assert features.keys == sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.jpg"))
    expected = dsa_reid.load(model).embed([read(image_folder / key) for key in features.keys])
    assert features.dtype == dtype
    np.testing.assert_allclose(features[:], expected.numpy(), atol=2e-6 if dtype == "float32" else 1e-3)
    assert features.origin.model == dsa_reid.digest_of(model)
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.pieces"))


def test_a_datasets_gallery(run, tiny, tmp_path, model, monkeypatch):
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "market1501").symlink_to(tiny.root)
    made = tmp_path / "artifacts" / "market1501"
    (made / "runs" / "paper").mkdir(parents=True)
    shutil.copy(tiny.manifest, made)
    shutil.copy(model, made / "runs" / "paper")
    assert run("embed", "--dataset", "market1501").exit_code == 0
    features = FeatureStore(made / "features.h5")
    gallery = read_manifest(tiny.manifest, ["gallery"])
    assert features.keys == [record.key for record in gallery]
    assert features.digests == [record.digest for record in gallery]

    query = next(tiny.root.glob("query/*.png"))
    done = run("search", "--query", query, "--gallery", made / "features.h5", "--top", 4, "--out", tmp_path / "r.png")
    pid = int(query.name[:4])
    lines = done.stdout.splitlines()[2:6]
    assert len(lines) == 4
    for line in lines:
        assert line.endswith("right" if f"/{pid:04}_" in line else "wrong")


def test_the_same_command_again_computes_nothing(run, tmp_path, model, image_folder, monkeypatch):
    out = tmp_path / "features.h5"
    first = run("embed", image_folder, "--model", model, "--out", out)
    monkeypatch.setattr(dsa_reid.Model, "features", None)
    assert run("embed", image_folder, "--model", model, "--out", out).stdout == first.stdout


def test_features_of_another_model_are_neither_replaced_nor_searched(run, tmp_path, model, image_folder):
    out, other = tmp_path / "features.h5", write_model(tmp_path / "other.pt", seed=1)
    run("embed", image_folder, "--model", model, "--out", out)
    refused = run("embed", image_folder, "--model", other, "--out", out)
    assert refused.exit_code == 2
    assert "was made with other settings: origin.model was" in refused.stderr
    assert "--overwrite" in refused.stderr
    searched = run("search", "--query", image_folder / "a" / "00.jpg", "--gallery", out, "--model", other)
    assert searched.exit_code == 2
    assert f"holds features of the model {dsa_reid.digest_of(model)[:12]}" in searched.stderr
    replaced = run("embed", image_folder, "--model", other, "--out", out, "--overwrite")
    assert replaced.exit_code == 0
    assert "note: " in replaced.stderr
    assert "was made with other settings: origin.model was" in replaced.stderr
    assert FeatureStore(out).origin.model == dsa_reid.digest_of(other)


def test_features_that_another_program_has_open_are_not_replaced(run, tmp_path, model, image_folder):
    out = tmp_path / "features.h5"
    embed = ("embed", image_folder, "--model", model, "--out", out)
    run(*embed)
    before = out.read_bytes()
    with out.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does where it opens a file for writing
        done = run(*embed, "--overwrite")
    assert done.exit_code == 2
    assert "is open for writing in another program" in done.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize("ending", ["h5", "npy"])
def test_overwrite_makes_again_what_is_damaged_or_of_other_images_alone(
    run, tmp_path, model, image_folder, ending, monkeypatch
):
    out = tmp_path / f"features.{ending}"
    embed = ("embed", image_folder, "--model", model, "--out", out)
    first = run(*embed)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(dsa_reid.Model, "features", None)  # it would fail
        again = run(*embed, "--overwrite")
        assert (again.exit_code, again.stdout) == (0, first.stdout)
        assert "rebuilt" not in again.stderr
    damaged = bytearray(before)
    damaged[before.index(open_features(out)[:1].tobytes())] ^= 1  # in a row: the header stays readable
    out.write_bytes(damaged)
    mended = run(*embed, "--overwrite")
    assert mended.exit_code == 0
    assert re.search(r"damaged\. Everything is rebuilt \(--overwrite\)\.", mended.stderr)
    assert out.read_bytes() == before
    (image_folder / "a" / "00.jpg").unlink()
    refused = run(*embed)
    assert refused.exit_code == 2
    assert "was made from other images.\nReplace it with --overwrite" in refused.stderr
    fewer = run(*embed, "--overwrite")
    assert "was made from other images. Everything is rebuilt (--overwrite)." in fewer.stderr
    assert len(open_features(out)) == 11


@pytest.mark.parametrize("ending", ["h5", "npy"])
def test_a_file_that_is_no_image_is_named_or_skipped(run, tmp_path, model, image_folder, ending):
    (image_folder / "a" / "03.jpg").write_bytes(b"not an image")
    out = tmp_path / f"features.{ending}"
    stopped = run("embed", image_folder, "--model", model, "--out", out)
    assert stopped.exit_code == 2
    assert "a/03.jpg does not decode as an image" in stopped.stderr
    assert not out.exists()
    for _ in range(2):  # done, then done already
        done = run("embed", image_folder, "--model", model, "--out", out, "--skip-broken")
        assert done.exit_code == 0
        assert "1 of 13 images were skipped" in done.stderr
    features = open_features(out)
    assert len(features) == 12
    assert "a/03.jpg" not in features.keys
    with (tmp_path / f"features.{ending}.skipped.csv").open() as file:
        assert [line[0] for line in csv.reader(file)] == ["key", "a/03.jpg"]


def test_nothing_but_broken_images(run, tmp_path, model):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jpg").write_bytes(b"no")
    done = run("embed", tmp_path / "x", "--model", model, "--out", tmp_path / "f.h5", "--skip-broken")
    assert done.exit_code == 2
    assert "None of 1 images can be read" in done.stderr


def test_a_missing_file_is_named_or_skipped(run, tmp_path, model, image_folder):
    (image_folder / "a" / "03.jpg").symlink_to(tmp_path / "gone.jpg")
    out = tmp_path / "features.h5"
    stopped = run("embed", image_folder, "--model", model, "--out", out)
    assert stopped.exit_code == 2
    assert "a/03.jpg is missing" in stopped.stderr
    done = run("embed", image_folder, "--model", model, "--out", out, "--skip-broken")
    assert done.exit_code == 0
    assert "skipped a/03.jpg" in done.stderr
    assert len(FeatureStore(out)) == 12


def test_a_table_of_the_users_own_is_not_overwritten(run, tmp_path, model, image_folder):
    mine = tmp_path / "gallery.csv"
    mine.write_text("picture,name\n")
    command = ["embed", image_folder, "--model", model, "--out", tmp_path / "gallery.npy"]
    refused = run(*command)
    assert refused.exit_code == 2
    assert "gallery.csv was not written as the features" in refused.stderr
    assert mine.read_text() == "picture,name\n"
    assert run(*command, "--overwrite").exit_code == 0
    assert mine.read_text().startswith("key,digest\n")


def test_features_that_are_not_numbers(run, tmp_path, model, image_folder):
    broken = dsa_reid.load(model)
    broken.main_stream.trunk.conv1.weight.data.fill_(float("nan"))
    path = dsa_reid.save(broken.main_stream, tmp_path / "broken.pt", PREPROCESSING)
    done = run("embed", image_folder, "--model", path, "--out", tmp_path / "f.h5")
    assert done.exit_code == 2
    assert "The feature of a/00.jpg is not a number (NaN)" in done.stderr
    assert not (tmp_path / "f.h5").exists()


def test_a_gpu_that_is_not_there(run, tmp_path, model, image_folder):
    done = run("embed", image_folder, "--model", model, "--out", tmp_path / "f.h5", "--device", "cuda:7")
    assert done.exit_code == 2
    assert "cuda:7" in done.stderr


def test_a_bad_image_of_a_folder_has_a_remedy_for_folders(run, tmp_path, model, image_folder):
    (image_folder / "bad.jpg").write_bytes(b"no image")
    done = run("embed", image_folder, "--model", model, "--out", tmp_path / "f.h5")
    assert done.exit_code == 2
    assert "or remove it, or leave it out: --skip-broken" in done.stderr
    assert "manifest" not in done.stderr
