"""The commands of what is left after training: model file to features, rankings and exports, with their faults."""

import csv
import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import dsa_reid
from dsa_app.errors import StoreError
from dsa_data.images import encode_jpeg, read
from dsa_data.records import read_manifest
from dsa_data.stores.features import FeatureStore
from dsa_train.cli import main
from dsa_train.gallery import embed as embedding
from dsa_train.gallery import search as searching
from dsa_train.gallery.embed import in_folder
from dsa_train.gallery.feature_files import NumpyFeatures, open_features

PREPROCESSING = dsa_reid.Preprocessing(32, 16)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def write_model(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    stream = dsa_reid.MainStream(dsa_reid.MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return dsa_reid.save(stream, path, PREPROCESSING)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.pt")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with 12 pictures, a subfolder among them."""
    generator = np.random.default_rng(0)
    for n in range(12):
        path = tmp_path / "pictures" / ("b" if n % 2 else "a") / f"{n:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(generator.integers(0, 256, (40 + n, 20, 3), dtype=np.uint8)))
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    ("ending", "dtype"), [("h5", "float32"), ("h5", "float16"), ("npy", "float32"), ("npy", "float16")]
)
def test_embedded_as_python_would(tmp_path, model, pictures, ending, dtype):
    out = tmp_path / f"features.{ending}"
    done = run("embed", pictures, "--model", model, "--out", out, "--type", dtype, "--batch", 5)
    assert done.exit_code == 0, done.output
    features = open_features(out)
    assert features.keys == sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.jpg"))
    expected = dsa_reid.load(model).embed([read(pictures / key) for key in features.keys])
    assert features.dtype == dtype
    np.testing.assert_allclose(features[:], expected.numpy(), atol=2e-6 if dtype == "float32" else 1e-3)
    assert features.origin.model == dsa_reid.digest_of(model)
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.pieces"))


def test_a_datasets_gallery(tiny, tmp_path, model, monkeypatch):
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


def test_killed_and_resumed_the_bytes_are_those_of_one_run(tmp_path, model, pictures, monkeypatch):
    """Killed after every piece of 5 pictures in turn."""
    monkeypatch.setattr(embedding, "PIECE", 5)
    loaded, sources = dsa_reid.load(model), in_folder(pictures)
    whole = embedding.embed(sources, loaded, tmp_path / "whole.h5").path.read_bytes()
    real, computed = loaded.features, []

    def dying(images):
        if len(computed) % 2:
            computed.append(0)
            raise KeyboardInterrupt
        computed.append(len(images))
        return real(images)

    monkeypatch.setattr(loaded, "features", dying)
    for _ in range(3):
        try:
            embedding.embed(sources, loaded, tmp_path / "killed.h5")
        except KeyboardInterrupt:
            assert not (tmp_path / "killed.h5").exists()
    assert computed == [5, 0, 5, 0, 2]  # no piece twice
    assert (tmp_path / "killed.h5").read_bytes() == whole


def test_the_same_command_again_computes_nothing(tmp_path, model, pictures, monkeypatch):
    out = tmp_path / "features.h5"
    first = run("embed", pictures, "--model", model, "--out", out)
    monkeypatch.setattr(dsa_reid.Model, "features", None)
    assert run("embed", pictures, "--model", model, "--out", out).stdout == first.stdout


def test_features_of_another_model_are_neither_replaced_nor_searched(tmp_path, model, pictures):
    out, other = tmp_path / "features.h5", write_model(tmp_path / "other.pt", seed=1)
    run("embed", pictures, "--model", model, "--out", out)
    refused = run("embed", pictures, "--model", other, "--out", out)
    assert refused.exit_code == 2
    assert "holds other features: configuration.origin.model was" in refused.stderr
    assert "--overwrite" in refused.stderr
    searched = run("search", "--query", pictures / "a" / "00.jpg", "--gallery", out, "--model", other)
    assert searched.exit_code == 2
    assert f"holds features of the model {dsa_reid.digest_of(model)[:12]}" in searched.stderr
    assert run("embed", pictures, "--model", other, "--out", out, "--overwrite").exit_code == 0
    assert FeatureStore(out).origin.model == dsa_reid.digest_of(other)


@pytest.mark.parametrize("ending", ["h5", "npy"])
def test_a_file_that_is_no_picture_is_named_or_skipped(tmp_path, model, pictures, ending):
    (pictures / "a" / "03.jpg").write_bytes(b"not a picture")
    out = tmp_path / f"features.{ending}"
    stopped = run("embed", pictures, "--model", model, "--out", out)
    assert stopped.exit_code == 2
    assert "a/03.jpg does not decode as an image" in stopped.stderr
    assert not out.exists()
    for _ in range(2):  # done, then done already
        done = run("embed", pictures, "--model", model, "--out", out, "--skip-broken")
        assert done.exit_code == 0
        assert "1 of 13 pictures were skipped" in done.stderr
    features = open_features(out)
    assert len(features) == 12
    assert "a/03.jpg" not in features.keys
    with (tmp_path / f"features.{ending}.skipped.csv").open() as file:
        assert [line[0] for line in csv.reader(file)] == ["key", "a/03.jpg"]


def test_nothing_but_broken_pictures(tmp_path, model):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jpg").write_bytes(b"no")
    done = run("embed", tmp_path / "x", "--model", model, "--out", tmp_path / "f.h5", "--skip-broken")
    assert done.exit_code == 2
    assert "None of 1 pictures can be read" in done.stderr


def test_a_file_that_is_not_to_be_had_is_named_or_skipped(tmp_path, model, pictures):
    (pictures / "a" / "03.jpg").symlink_to(tmp_path / "gone.jpg")
    out = tmp_path / "features.h5"
    stopped = run("embed", pictures, "--model", model, "--out", out)
    assert stopped.exit_code == 2
    assert "a/03.jpg is missing" in stopped.stderr
    done = run("embed", pictures, "--model", model, "--out", out, "--skip-broken")
    assert done.exit_code == 0
    assert "skipped a/03.jpg" in done.stderr
    assert len(FeatureStore(out)) == 12


def test_a_table_of_the_users_own_is_not_overwritten(tmp_path, model, pictures):
    mine = tmp_path / "gallery.csv"
    mine.write_text("picture,name\n")
    command = ["embed", pictures, "--model", model, "--out", tmp_path / "gallery.npy"]
    refused = run(*command)
    assert refused.exit_code == 2
    assert "gallery.csv is not ours" in refused.stderr
    assert mine.read_text() == "picture,name\n"
    assert run(*command, "--overwrite").exit_code == 0
    assert mine.read_text().startswith("key,digest\n")


def test_features_that_are_not_numbers(tmp_path, model, pictures):
    broken = dsa_reid.load(model)
    broken.main_stream.trunk.conv1.weight.data.fill_(float("nan"))
    path = dsa_reid.save(broken.main_stream, tmp_path / "broken.pt", PREPROCESSING)
    done = run("embed", pictures, "--model", path, "--out", tmp_path / "f.h5")
    assert done.exit_code == 2
    assert "The feature of a/00.jpg is not a number" in done.stderr
    assert not (tmp_path / "f.h5").exists()


def test_the_sample_that_explains_is_bounded(tmp_path, model, pictures, monkeypatch):
    run("embed", pictures, "--model", model, "--out", tmp_path / "features.h5")
    monkeypatch.setattr(searching, "SAMPLE", 7)
    assert len(searching._sample(FeatureStore(tmp_path / "features.h5"))) == 6  # every second of 12


@pytest.mark.parametrize("engine", ["numpy", "flat", "ivf", "hnsw"])
def test_a_picture_finds_itself_first(tmp_path, model, pictures, engine):
    run("embed", pictures, "--model", model, "--out", tmp_path / "features.h5")
    out = tmp_path / "ranking.png"
    common = ["--gallery", tmp_path / "features.h5", "--model", model, "--engine", engine, "--top", 3]
    queries = ["--query", pictures / "a" / "04.jpg", "--query", pictures / "b" / "07.jpg"]
    for _ in range(2):  # the second time by the index that was kept
        done = run("search", *queries, *common, "--pictures", pictures, "--explain", "--out", out)
        assert done.exit_code == 0, done.output
        lines = [line for line in done.stdout.splitlines() if line.startswith("   1")]
        assert [line.split()[-1] for line in lines] == ["a/04.jpg", "b/07.jpg"]
        assert lines[0].split()[2:10] == ["1.00"] * 8  # in every region nothing is nearer
    page = read(out)
    assert page.shape[0] > 2 * 192
    if engine != "numpy":
        assert faiss.read_index(str(tmp_path / f"features.h5.{engine}.faiss")).ntotal == 12


def test_an_index_older_than_its_features(tmp_path, model, pictures):
    out = tmp_path / "features.h5"
    search = ["search", "--query", pictures / "a" / "04.jpg", "--gallery", out, "--model", model, "--engine", "flat"]
    run("embed", pictures, "--model", model, "--out", out)
    run(*search)
    (pictures / "a" / "00.jpg").unlink()
    run("embed", pictures, "--model", model, "--out", out, "--overwrite")
    refused = run(*search)
    assert refused.exit_code == 2
    assert "was built from other features" in refused.stderr
    assert run(*search, "--overwrite").exit_code == 0
    assert run(*search).exit_code == 0


def test_an_index_that_cannot_be_read(tmp_path, model, pictures):
    out = tmp_path / "features.h5"
    run("embed", pictures, "--model", model, "--out", out)
    search = ["search", "--query", pictures / "a" / "04.jpg", "--gallery", out, "--model", model, "--engine", "hnsw"]
    run(*search)
    index = tmp_path / "features.h5.hnsw.faiss"
    index.write_bytes(index.read_bytes()[:100])
    refused = run(*search)
    assert refused.exit_code == 2
    assert "cannot be read" in refused.stderr


def test_numpy_features_without_what_belongs_to_them(tmp_path, model, pictures):
    run("embed", pictures, "--model", model, "--out", tmp_path / "f.npy")
    assert json.loads((tmp_path / "f.json").read_text())["configuration"]["type"] == "float32"
    note = tmp_path / "f.json"
    note.write_text(note.read_text().replace("dsa-reid features", "another's features"))
    with pytest.raises(StoreError, match=r"the \.json says .another's features"):
        NumpyFeatures(tmp_path / "f.npy")
    (tmp_path / "f.csv").unlink()
    with pytest.raises(StoreError, match="Keep the three together"):
        NumpyFeatures(tmp_path / "f.npy")


def test_exported_and_checked(tmp_path, model, pictures):
    for name, where in (("m.onnx", "inside"), ("m.pt2", "outside")):
        done = run("export", tmp_path / name, "--model", model, "--normalise", where)
        assert done.exit_code == 0, done.output
        checked = run("check-export", tmp_path / name, pictures, pictures / "a" / "00.jpg", "--model", model)
        assert checked.exit_code == 0, checked.output
        assert "13 of them yours" in checked.stdout
    other = write_model(tmp_path / "other.pt", seed=1)
    refused = run("check-export", tmp_path / "m.onnx", "--model", other)
    assert refused.exit_code == 2
    assert "was exported from the model" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed"], "Say what to embed"),
        (["embed", "x", "--dataset", "market1501"], "Say what to embed"),
        (["embed", "x"], "say --out FILE"),
        (["embed", "x", "--out", "f.h5"], "holds no picture"),
        (["export", "m.onnx"], "No model was named"),
        (["export", "m.onnx", "--model", "absent.pt"], "cannot be read"),
        (["search", "--query", "a.jpg", "--gallery", "absent.h5"], "does not exist"),
        (["search", "--query", "a.jpg", "--gallery", "absent.npy"], "cannot be read"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_a_gpu_that_is_not_there(tmp_path, model, pictures):
    done = run("embed", pictures, "--model", model, "--out", tmp_path / "f.h5", "--device", "cuda:7")
    assert done.exit_code == 2
    assert "cuda:7" in done.stderr
