import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.records import index, read_manifest, write_manifest
from dsa_data.synthetic.appearance import texture
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.dataset import synthesise
from dsa_data.synthetic.shots import TESTED, person_of
from dsa_train.ablation import ceiling as module
from dsa_train.ablation.ceiling import CELLS, Surfaces, ceiling, distances, read_surfaces, surface
from dsa_train.cli import main

SETTINGS = SynthConfig(train_identities=1, test_identities=12, distractors=5, junk=2, height=64, width=32)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A small synthetic dataset and its manifest."""
    root = synthesise(SETTINGS, tmp_path_factory.mktemp("ceiling") / "datasets" / "synthetic")
    made = root.parent.parent / "artifacts" / "synthetic"
    made.mkdir(parents=True)
    return root, write_manifest(index(root, sets.scan("synthetic", root)), made / "manifest.csv")


def test_by_hand():
    """Of four texels the query shows the first two. Equal ones first, by their number; unknown; different."""
    white, black, grey = (255,) * 3, (0,) * 3, (128,) * 3
    colours = np.array([[white, black, white, black], [white, grey, white, black]], np.uint8)
    query = Surfaces(np.array([[1, 1, 0, 0]], bool), np.array([0]), colours)
    seen = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]], bool)
    gallery = Surfaces(seen, np.array([0, 0, 0, 1, 1, 1]), colours)
    found, shared = distances(query, gallery)
    assert shared.tolist() == [[2, 1, 0, 1, 2, 1]]
    assert found.tolist() == [[-2 / 4, -1 / 4, 0, -1 / 4, 128**2 / 2, 128**2]]


def test_blocks_and_a_slow_loop_agree(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 2, (4, 12, 3)).astype(np.uint8) * 255
    sides = [
        Surfaces(generator.random((count, 12)) < 0.3, generator.integers(0, 4, count), colours) for count in (7, 10)
    ]
    found, shared = distances(*sides)
    for q in range(7):
        for g in range(10):
            both = sides[0].visible[q] & sides[1].visible[g]
            apart = colours[sides[0].person[q], both].astype(float) - colours[sides[1].person[g], both]
            assert shared[q, g] == both.sum()
            assert found[q, g] == pytest.approx((apart**2).mean() if apart.any() else -both.sum() / 12)
    assert (found < 0).any()
    assert (found == 0).any()
    assert (found > 0).any()


def test_images_of_one_person_agree_and_show_what_their_maps_show(rendered):
    root, manifest = rendered
    records = read_manifest(manifest, ["query", "gallery"])
    surfaces = read_surfaces(root, SETTINGS, records, 16)
    found, shared = distances(surfaces.without_bags(), surfaces.without_bags())
    same = surfaces.person[:, None] == surfaces.person
    assert (found[same & (shared > 0)] < 0).all()
    assert (found[~same & (shared > 40)] > 0).mean() > 0.9
    empty = [n for n, one in enumerate(records) if not surfaces.visible[n].any()]
    assert all(records[n].pid == 0 for n in empty)
    first = person_of(SETTINGS, TESTED, 0).appearance
    row = next(n for n, one in enumerate(records) if one.pid == 2)
    body = surfaces.colours[surfaces.person[row], : 24 * 256]
    np.testing.assert_array_equal(body, texture(first, 16).reshape(-1, 3))


def test_bags_are_visible_and_compared_by_their_bands(rendered):
    root, manifest = rendered
    records = read_manifest(manifest, ["query", "gallery"])
    surfaces = read_surfaces(root, SETTINGS, records, 16)
    bags = surfaces.visible[:, -(CELLS**2) :].sum(axis=1)
    carries = np.array(
        [one.pid > 0 and person_of(SETTINGS, TESTED, one.pid - 2).body.build.bag != "none" for one in records]
    )
    assert carries.any()
    assert not bags[~carries & np.array([one.pid > 0 for one in records])].any()
    assert (bags[carries] > 3).mean() > 0.6
    person = person_of(SETTINGS, TESTED, 0)
    twin = dataclasses.replace(
        person, appearance=dataclasses.replace(person.appearance, bag=person_of(SETTINGS, TESTED, 1).appearance.bag)
    )
    differs = (surface(person, 8) != surface(twin, 8)).any(axis=1)
    assert not differs[: -(CELLS**2)].any()
    assert differs[-(CELLS**2) :].any()


def test_the_ceiling_is_high_and_higher_with_bags(rendered):
    found = ceiling(rendered[1], rendered[0])
    assert 0.85 < found.body.mAP < found.with_bags.mAP <= 1
    assert 0.9 < found.shared <= 1
    assert found.views[0, 45].mAP > found.views[135, 180].mAP


def test_the_command(rendered, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("DSA_DATASETS", str(rendered[0].parent))
    monkeypatch.setenv("DSA_ARTIFACTS", str(rendered[1].parent.parent))
    told = CliRunner().invoke(main, ["ceiling"])
    assert told.exit_code == 0, told.output
    assert "body and bag" in told.output
    assert "135 to 180 degrees" in told.output
    measures = json.loads((rendered[1].parent / "ceiling.json").read_text())
    assert json.loads(CliRunner().invoke(main, ["ceiling", "--json"]).stdout) == measures
    assert measures["body"]["mAP"] <= measures["body_and_bag"]["mAP"]
    assert {one["from"] for one in measures["views"]} <= {0, 45, 90, 135}

    other = tmp_path / "datasets" / "market1501"
    shutil.copytree(tiny.root, other)
    monkeypatch.setenv("DSA_DATASETS", str(other.parent))
    refused = CliRunner().invoke(main, ["ceiling", "--dataset", "market1501", "--manifest", str(tiny.manifest)])
    assert refused.exit_code == 2
    assert "is not a synthetic dataset" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_another_dataset_is_refused(rendered, tmp_path):
    root, manifest = rendered
    records = read_manifest(manifest)
    strange = [dataclasses.replace(one, key=one.key.replace("_01.jpg", "_02.jpg")) for one in records]
    with pytest.raises(DatasetError, match=r"_02\.jpg is none of the images .* dsa-data prepare"):
        ceiling(write_manifest(strange, tmp_path / "manifest.csv"), root)
    old = tmp_path / "old"
    shutil.copytree(root, old)
    note = json.loads((old / "synth.json").read_text())
    (old / "synth.json").write_text(json.dumps({**note, "version": 1}))
    with pytest.raises(DatasetError, match=r"has version 1, this program reads 2\. Render it again"):
        ceiling(manifest, old)
