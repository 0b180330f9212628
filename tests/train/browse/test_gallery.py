"""The ranking of a browsed gallery: against distances computed one by one; regions, filters, surfaces, links."""

import copy
import dataclasses

import numpy as np
import pytest

import dsa_reid
from dsa_app.errors import ConfigError, ImageError
from dsa_data import images
from dsa_train.browse.gallery import Filter, Gallery, ListedImage
from dsa_train.browse.source import gallery_of_features, gallery_of_run
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.torch_setup import choose_device
from thin import write_model

EVERYTHING = Filter()


def ask(gallery, number=6, regions=(), some=EVERYTHING, top=50):
    return gallery.rank(gallery.read(number), gallery.images[number], regions, some, top)


def test_the_order_is_that_of_the_features(gallery):
    hits = ask(gallery).hits
    query = gallery.model.embed([gallery.read(6)]).numpy()[0]
    features = gallery.model.embed([gallery.read(number) for number in range(6)]).numpy()
    expected = np.linalg.norm(features - query, axis=1)
    assert [hit.number for hit in hits] == np.argsort(expected).tolist()
    assert [hit.distance for hit in hits] == pytest.approx(np.sort(expected), abs=1e-5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    assert [hit.correct for hit in hits] == [gallery.images[hit.number].pid == 1 for hit in hits]


def test_chosen_regions_decide_the_distance(gallery):
    hits = ask(gallery, regions=["torso", "head"]).hits
    assert [hit.distance for hit in hits] == pytest.approx([(hit.regions[0] + hit.regions[7]) / 2 for hit in hits])
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    with pytest.raises(ConfigError, match="'tail' is no region"):
        ask(gallery, regions=["tail"])


def test_filters_leave_out_images(gallery):
    def numbers(**values):
        return {hit.number for hit in ask(gallery, some=Filter(**values)).hits}

    images = gallery.images
    assert numbers(camera=2) == {n for n in range(6) if images[n].camid == 2}
    assert numbers(text="3_c1") == {n for n in range(6) if "3_c1" in images[n].key}
    assert numbers(other_cameras=True) == {n for n in range(6) if images[n].camid != 1}
    assert numbers(text="no such") == set()
    assert len(ask(gallery, top=2).hits) == 2


def test_an_image_of_elsewhere_is_neither_right_nor_wrong(gallery):
    hits = gallery.rank(np.zeros((64, 32, 3), np.uint8), None, [], Filter(other_cameras=True), 3).hits
    assert [hit.correct for hit in hits] == [None] * 3


def test_probabilities_are_the_models(gallery):
    calibration = dsa_reid.Calibration(2.0, 3.0, 0.0, 1.0, 20, 100)
    model = copy.copy(gallery.model)
    model.calibration = calibration
    sure = Gallery(model, gallery.images, gallery._features, gallery.root, None, "densepose", "")
    ranking = ask(sure)
    assert ranking.hits[0].probability == pytest.approx(calibration.probability(ranking.hits[0].distance, 1 / 7))
    assert 0 < ranking.presence < 1
    assert ask(sure, regions=["torso"]).presence is None


def test_surfaces_that_both_images_show(gallery):
    (_, one), (_, other), (_, both), (_, both_there) = gallery.surfaces(6, 0)
    empty = (both == both[-1, -1]).all(-1)
    assert one.shape == other.shape == both.shape == both_there.shape
    assert gallery.surfaces(6, 6)[0][1].tobytes() == gallery.surfaces(6, 6)[2][1].tobytes()
    assert (both != one).any()
    assert empty.any()


def test_a_link_out_of_the_root_is_not_shown(gallery, tmp_path):
    images.write_png(tmp_path / "secret.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "secret.png")
    images.write_png(tmp_path / "root" / "own.png", np.zeros((8, 8, 3), np.uint8))
    linked = [ListedImage("link.png"), ListedImage("own.png")]
    shown = Gallery(gallery.model, linked, gallery._features, tmp_path / "root", None, "densepose", "")
    with pytest.raises(ImageError, match="is a link to a file outside"):
        shown.read(0)
    assert shown.read(1).shape == (8, 8, 3)


def test_a_root_that_is_a_link_itself_is_shown(gallery, tmp_path):
    (tmp_path / "linked").symlink_to(gallery.root)
    shown = Gallery(gallery.model, gallery.images, gallery._features, tmp_path / "linked", None, "densepose", "")
    assert shown.read(0).tobytes() == gallery.read(0).tobytes()


def test_a_file_of_features(run, tmp_path, model, image_folder):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    opened = gallery_of_features(
        tmp_path / "features.h5", model, image_folder, tmp_path / "none.csv", tmp_path / "none.h5", choose_device("cpu")
    )
    hits = opened.rank(opened.read(4), opened.images[4], [], EVERYTHING, 3).hits
    assert (hits[0].number, hits[0].correct) == (4, None)
    assert hits[0].distance == pytest.approx(0, abs=1e-3)
    assert list(opened.picks) == list(range(12))
    assert opened.surfaces(0, 1) is None


def test_only_the_models_own_features_are_browsed(place):
    with pytest.raises(ConfigError, match="Leave out other settings"):
        gallery_of_run(place, EvaluateConfig(flip=True))


def test_features_with_visibilities_are_compared_by_what_both_images_show(run, tmp_path, image_folder):
    path = write_model(tmp_path / "model.pt", local_pooling="regions", local_head="pointwise")
    plain = dsa_reid.load(path)
    visible = dsa_reid.Calibration(2.0, 4.0, 0.3, 1.0, 20, 100)
    whole = dsa_reid.Calibration(9.0, 1.0, 0.0, 1.0, 20, 100)
    dsa_reid.save(plain.main_stream, path, plain.preprocessing, calibration=whole, visible_calibration=visible)
    run("embed", image_folder, "--model", path, "--out", tmp_path / "f.h5", "--visibility")
    none = tmp_path / "none"
    opened = gallery_of_features(tmp_path / "f.h5", path, image_folder, none, none, choose_device("cpu"))
    hits = ask(opened, 4).hits
    features = plain.embed([opened.read(number) for number in range(12)], visibility=True)
    expected = dsa_reid.visible_distances(features[4:5], features, plain.parts_with_visibility)[0].numpy()
    assert [hit.number for hit in hits] == np.argsort(expected, kind="stable").tolist()
    assert [hit.distance for hit in hits] == pytest.approx(np.sort(expected), abs=2e-3)
    assert [hit.probability for hit in hits] == pytest.approx(
        [visible.probability(hit.distance, 1 / 13) for hit in hits]
    )
    assert ask(opened, 4, regions=["torso"]).hits[0].probability is None


def test_a_run_by_visible_distances(place, tmp_path):
    path = write_model(tmp_path / "model.pt", local_pooling="regions", local_head="pointwise")
    task = dataclasses.replace(place, source=path)
    opened = gallery_of_run(task, EvaluateConfig(distance="visible"))
    assert opened.visible
    assert len(ask(opened).hits) == 6
    with pytest.raises(ConfigError, match="Leave out other settings"):
        gallery_of_run(task, EvaluateConfig(distance="visible", min_seen=0.1))
