"""Galleries with visibilities: searches compare what both images show, say how much that is, and may have no answer."""

import csv
import json

import pytest
import torch

import dsa_reid
from dsa_data.images import read
from dsa_reid import MainStream, MainStreamConfig, Preprocessing


@pytest.fixture
def seeing(tmp_path):
    """A model that predicts regions."""
    torch.manual_seed(3)
    config = MainStreamConfig(trunk="resnet18", width=0.125, local_pooling="regions", local_head="pointwise")
    return dsa_reid.save(MainStream(config).eval(), tmp_path / "regions.pt", Preprocessing(64, 32))


@pytest.mark.parametrize("engine", ["numpy", "flat", "hnsw"])
def test_an_image_finds_itself_first(run, tmp_path, seeing, image_folder, engine):
    gallery = tmp_path / "features.npy"
    embedded = run("embed", image_folder, "--model", seeing, "--out", gallery, "--visibility")
    model = dsa_reid.load(seeing)
    assert f"12 x {model.dimensions + 8}," in embedded.output
    query = image_folder / "a" / "04.jpg"
    search = ["search", "--query", query, "--gallery", gallery, "--model", seeing, "--engine", engine, "--top", 4]
    for _ in range(2):  # the second time with the index that was kept
        done = run(*search, "--explain", "--rankings", tmp_path / "hits.csv")
        assert done.exit_code == 0, done.output
    assert "may have nearer images" not in done.output  # 12 images are all candidates
    lines = done.stdout.splitlines()
    assert lines[2].split()[-1] == "a/04.jpg"
    with (tmp_path / "hits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["image"] for row in rows]
    features = model.embed([read(query), *(read(image_folder / name) for name in names)], visibility=True)
    parts = model.parts_with_visibility
    expected = dsa_reid.visible_distances(features[:1], features[1:], parts)[0]
    assert [float(row["distance"]) for row in rows] == pytest.approx(expected.tolist(), abs=2e-3)
    seen = dsa_reid.seen_in_both(features[:1], features[1:], parts)[0]
    assert [float(row["seen"]) for row in rows] == pytest.approx(seen.mean(1).tolist(), abs=1e-4)
    assert lines[3].strip() == rows[0]["compared"]
    assert rows[0]["compared"].endswith("of the body was seen in both")


def test_too_little_is_seen(run, tmp_path, seeing, model, image_folder):
    gallery = tmp_path / "features.h5"
    run("embed", image_folder, "--model", seeing, "--out", gallery, "--visibility")
    search = ["search", "--query", image_folder / "a" / "04.jpg", "--gallery", gallery, "--model", seeing]
    none = run(*search, "--min-seen", "1", "--rankings", tmp_path / "hits.csv", "--explain")
    assert none.exit_code == 0, none.output
    assert "no answer: too little of the body is seen in both images" in none.stdout
    with (tmp_path / "hits.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [""]
    assert "This model is not calibrated" in run(*search, "--min-probability", "0.5").output

    plain = tmp_path / "plain.h5"
    run("embed", image_folder, "--model", seeing, "--out", plain)
    search[4] = plain
    assert "no answer" not in run(*search).output
    refused = run(*search, "--min-seen", "0.5")
    assert (refused.exit_code, "--min-seen needs to know what images show" in refused.output) == (2, True)
    refused = run("embed", image_folder, "--model", model, "--out", tmp_path / "x.h5", "--visibility")
    assert (refused.exit_code, "does not predict body regions" in refused.output) == (2, True)


@pytest.mark.parametrize("engine", ["numpy", "flat"])
def test_probabilities_are_those_of_visible_distances(run, tmp_path, seeing, image_folder, engine):
    plain = dsa_reid.load(seeing)
    whole = dsa_reid.Calibration(9.0, 1.0, 0.0, 1.0, 20, 100)
    visible = dsa_reid.Calibration(2.0, 4.0, 0.3, 1.0, 20, 100)
    dsa_reid.save(plain.main_stream, seeing, plain.preprocessing, calibration=whole, visible_calibration=visible)
    model, gallery = dsa_reid.load(seeing), tmp_path / "features.h5"
    run("embed", image_folder, "--model", seeing, "--out", gallery, "--visibility")
    query = image_folder / "a" / "04.jpg"
    search = ["search", "--query", query, "--gallery", gallery, "--model", seeing, "--engine", engine, "--json"]
    rows = json.loads(run(*search).stdout)
    features = model.embed(
        [read(query), *(read(path) for path in sorted(image_folder.rglob("*.jpg")))], visibility=True
    )
    distances = dsa_reid.visible_distances(features[:1], features[1:], model.parts_with_visibility)
    presence = model.presence(distances.numpy(), visible=True)[0]
    for row in rows:
        expected = model.probability(row["distance"], 1 / 13, visible=True)
        assert row["probability"] == pytest.approx(expected)
        assert row["presence"] == pytest.approx(presence, abs=1e-3)
    # what images have to share limits the hits, not the probability that the person is there
    some = json.loads(run(*search, "--min-seen", "0.05").stdout)
    assert some[0]["presence"] == pytest.approx(presence, abs=1e-3)
    nobody = json.loads(run(*search, "--min-probability", "0.9999").stdout)
    assert [(row["image"], row["nobody"]) for row in nobody] == [(None, True)]
    assert run(*search[:-1], "--min-probability", "0.0001").stdout.splitlines()[2].split()[-1] == "a/04.jpg"
