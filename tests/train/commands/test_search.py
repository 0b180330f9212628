"""`dsa-train search`: from query images and features to a ranking, with its faults."""

import dataclasses
import json
import math

import faiss
import pytest

import dsa_reid
from dsa_data.images import read


@pytest.mark.parametrize("engine", ["numpy", "flat", "ivf", "hnsw"])
def test_an_image_finds_itself_first(run, tmp_path, model, image_folder, engine):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    out = tmp_path / "ranking.png"
    common = ["--gallery", tmp_path / "features.h5", "--model", model, "--engine", engine, "--top", 3]
    queries = ["--query", image_folder / "a" / "04.jpg", "--query", image_folder / "b" / "07.jpg"]
    for _ in range(2):  # the second time with the index that was kept
        done = run("search", *queries, *common, "--pictures", image_folder, "--explain", "--out", out)
        assert done.exit_code == 0, done.output
        lines = [line for line in done.stdout.splitlines() if line.startswith("   1")]
        assert [line.split()[-1] for line in lines] == ["a/04.jpg", "b/07.jpg"]
        assert lines[0].split()[2:10] == ["1.00"] * 8  # no image is nearer in any region
    page = read(out)
    assert page.shape[0] > 2 * 192
    if engine != "numpy":
        assert faiss.read_index(str(tmp_path / f"features.h5.{engine}.faiss")).ntotal == 12


def test_an_index_older_than_its_features(run, tmp_path, model, image_folder):
    out = tmp_path / "features.h5"
    search = [
        "search",
        "--query",
        image_folder / "a" / "04.jpg",
        "--gallery",
        out,
        "--model",
        model,
        "--engine",
        "flat",
    ]
    run("embed", image_folder, "--model", model, "--out", out)
    run(*search)
    (image_folder / "a" / "00.jpg").unlink()
    run("embed", image_folder, "--model", model, "--out", out, "--overwrite")
    refused = run(*search)
    assert refused.exit_code == 2
    assert "was built from other features" in refused.stderr
    assert run(*search, "--overwrite").exit_code == 0
    assert run(*search).exit_code == 0


def test_an_index_that_cannot_be_read(run, tmp_path, model, image_folder):
    out = tmp_path / "features.h5"
    run("embed", image_folder, "--model", model, "--out", out)
    search = [
        "search",
        "--query",
        image_folder / "a" / "04.jpg",
        "--gallery",
        out,
        "--model",
        model,
        "--engine",
        "hnsw",
    ]
    run(*search)
    index = tmp_path / "features.h5.hnsw.faiss"
    index.write_bytes(index.read_bytes()[:100])
    refused = run(*search)
    assert refused.exit_code == 2
    assert "cannot be read" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 0, "note: the hits are not rendered"),
        (["--pictures", "nowhere"], 2, "nowhere is not a folder"),
        (["--out", "page.png"], 2, "04.jpg"),
    ],
)
def test_a_table_is_printed_where_the_images_are_gone(
    run, tmp_path, model, image_folder, monkeypatch, options, code, words
):
    """The gallery's images may be elsewhere: the table is what was asked for, and it is no error to have that alone."""
    from dsa_train.gallery.feature_files import open_features

    monkeypatch.chdir(tmp_path)
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    monkeypatch.setattr(
        "dsa_train.gallery.feature_files.open_features", lambda path: _of_dataset(open_features(path), "synthetic")
    )
    query = ["search", "--query", image_folder / "a" / "04.jpg", "--gallery", "features.h5", "--model", model]
    done = run(*query, *options)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert ("a/04.jpg" in done.stdout) == (code == 0)


def _of_dataset(features, name):
    features.header = dataclasses.replace(features.header, dataset=name)
    return features


def calibrated(model, present=(0.0, 1.0)):
    """Write a calibration into a model file: even odds at the distance 1, and P(in the gallery) from the evidence."""
    read_model = dsa_reid.load(model)
    found = dsa_reid.Calibration(10.0, 10.0, *present, 20, 100)
    return dsa_reid.save(read_model.main_stream, model, read_model.preprocessing, calibration=found)


def test_probabilities_are_shown_and_written(run, tmp_path, model, image_folder):
    calibrated(model)
    run("embed", image_folder, "--model", model, "--out", tmp_path / "f.h5")
    search = ["search", "--query", image_folder / "a" / "04.jpg", "--gallery", tmp_path / "f.h5", "--model", model]
    text = run(*search, "--rankings", tmp_path / "hits.csv", "--top", 3).stdout
    assert ", in the gallery with P = " in text
    assert text.splitlines()[1].split() == ["distance", "P", "image"]
    rows = json.loads(run(*search, "--json", "--top", 3).stdout)
    assert [row["place"] for row in rows] == [1, 2, 3]
    assert rows[0]["distance"] == pytest.approx(0, abs=1e-3)
    # even odds at distance 1, and one image in twelve as well as nobody's
    assert rows[0]["probability"] == pytest.approx(1 / (1 + 12 * math.exp(-10)), abs=1e-4)
    assert rows[0]["probability"] > rows[1]["probability"] > rows[2]["probability"]
    written = (tmp_path / "hits.csv").read_text().splitlines()
    assert written[0] == "query,place,image,distance,correct,probability,presence,nobody"
    assert len(written) == 4


def test_nobody_here(run, tmp_path, model, image_folder):
    calibrated(model, (-5.0, 0.0))
    run("embed", image_folder, "--model", model, "--out", tmp_path / "f.h5")
    search = ["search", "--query", image_folder / "a" / "04.jpg", "--gallery", tmp_path / "f.h5", "--model", model]
    found = run(*search, "--min-probability", 0.5)
    assert found.stdout.splitlines()[1].strip() == "nobody here: the person is in the gallery with P = 0.01"
    assert [
        (row["image"], row["nobody"]) for row in json.loads(run(*search, "--min-probability", 0.5, "--json").stdout)
    ] == [(None, True)]
    assert "nobody here" not in run(*search, "--min-probability", 0.001).stdout
    drawn = run(*search, "--min-probability", 0.5, "--pictures", image_folder, "--out", tmp_path / "r.png")
    assert drawn.exit_code == 0
    assert read(tmp_path / "r.png").shape[1] < 250  # the query alone


def test_a_model_that_is_not_calibrated_has_no_probabilities(run, tmp_path, model, image_folder):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "f.h5")
    search = ["search", "--query", image_folder / "a" / "04.jpg", "--gallery", tmp_path / "f.h5", "--model", model]
    refused = run(*search, "--min-probability", 0.5)
    assert refused.exit_code == 2
    assert "This model is not calibrated" in refused.stderr
    assert json.loads(run(*search, "--json").stdout)[0]["probability"] is None
