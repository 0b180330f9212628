import dataclasses

import numpy as np
import pytest

import dsa_reid
from dsa_app.errors import TrainingError
from dsa_train import same_or_not_report
from dsa_train.batches.dataset import Images
from dsa_train.calibration_fit import calibrate, hold_out
from dsa_train.evaluation.calibrate import fit_logistic
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.features import extract
from dsa_train.evaluation.same_or_not import same_or_not
from dsa_train.evaluation_stage import Task, calibration_of, query_and_gallery, uncalibrated
from thin import write_model


def test_people_are_held_out_whole_and_always_the_same(tiny):
    records = tiny.records("train")
    kept, held = hold_out(records, 0.5, seed=0)
    assert {one.pid for one in kept} & {one.pid for one in held} == set()
    assert len({one.pid for one in held}) == 3
    assert sorted(kept + held, key=lambda one: one.key) == records
    assert hold_out(records, 0.5, seed=0) == (kept, held)
    assert any(hold_out(records, 0.5, seed=seed)[1] != held for seed in range(1, 5))
    assert hold_out(records, 0.0, seed=0) == (records, [])


def test_too_few_people_are_refused_before_any_training(tiny, train, tmp_path):
    with pytest.raises(
        TrainingError, match=r"train\.calibrate=0\.2 holds out 1 of 6 people, and at least 3 are needed"
    ):
        train(tmp_path, calibrate=0.2)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_run_is_calibrated_on_people_that_it_was_not_trained_on(tiny, train, tmp_path):
    model = dsa_reid.load(train(tmp_path, calibrate=0.5, epochs=3))
    calibration = model.calibration
    _, held = hold_out(tiny.records("train"), 0.5, seed=0)
    assert (calibration.people, calibration.images) == (3, len(held))
    again = calibrate(model.main_stream, tiny.root, held, model.preprocessing, EvaluateConfig())
    np.testing.assert_allclose(calibration.offset, again.whole.offset, rtol=1e-3)
    assert again.visible is model.visible_calibration is None  # the network does not predict regions
    assert 0 < model.probability(0.0) <= 1
    assert model.probability(2.0) < model.probability(0.1)


def test_queries_and_gallery_are_not_read_for_it(tiny, train, tmp_path, monkeypatch):
    read = []
    import dsa_train.calibration_fit as module

    genuine = module.Images
    monkeypatch.setattr(module, "Images", lambda root, held, *more: read.extend(held) or genuine(root, held, *more))
    train(tmp_path, calibrate=0.5)
    assert {one.split for one in read} == {"train"}
    # held-out people are searched for among everyone, and come first
    kept, held = hold_out(tiny.records("train"), 0.5, seed=0)
    assert read == [*held, *kept]


def test_a_calibration_is_of_single_images(tiny, tmp_path):
    plain = dsa_reid.load(write_model(tmp_path / "plain.pt"))
    calibration = dsa_reid.Calibration(-2.0, 3.0, 0.0, 0.0, people=3, images=12)
    model = dsa_reid.save(plain.main_stream, tmp_path / "model.pt", plain.preprocessing, calibration=calibration)
    task = Task(tiny.manifest, tiny.root, tiny.dsap, model, None, None, "market1501")
    images = tiny.records("gallery")
    frames = [dataclasses.replace(one, tracklet=one.pid + 1) for one in images]
    assert calibration_of(task, EvaluateConfig(), images) == calibration
    assert calibration_of(task, EvaluateConfig(), frames) is None
    assert calibration_of(task, EvaluateConfig(tracklets="frames"), frames) == calibration
    assert calibration_of(task, EvaluateConfig(flip=True), images) is None
    assert calibration_of(task, EvaluateConfig(distance="visible"), images) is None  # the model has none of these
    assert "tracklets are compared" in uncalibrated(EvaluateConfig(), frames)
    assert uncalibrated(EvaluateConfig(), images) == uncalibrated(EvaluateConfig(distance="visible"), images) == ""


REGIONS = {"local_pooling": "regions", "local_head": "pointwise"}


def visible_curve(model, records, root):
    """Return visible distances and whether they are of one person, of pairs from two cameras or two people."""
    features = model.embed([root / one.key for one in records], visibility=True)
    distances = dsa_reid.visible_distances(features, features, model.parts_with_visibility).numpy().astype(float)
    pairs = [
        (distances[a, b], one.pid == other.pid)
        for a, one in enumerate(records)
        for b, other in enumerate(records)
        if one.pid != other.pid or one.camid != other.camid
    ]
    far, same = (np.array(column, float) for column in zip(*pairs, strict=True))
    return far, same


def test_visible_distances_are_calibrated_too(tiny, tmp_path):
    """The map is that of all pairs one by one; that of whole features is as of a network that is not asked."""
    model = dsa_reid.load(write_model(tmp_path / "model.pt", **REGIONS))
    held = tiny.records("train")
    found = calibrate(model.main_stream, tiny.root, held, model.preprocessing, EvaluateConfig())
    far, same = visible_curve(model, held, tiny.root)
    offset, slope = fit_logistic(far, same, 1 - same)
    # distances are counted in bins that are 0.2% wide
    at = np.linspace(far.min(), far.max(), 9)
    np.testing.assert_allclose(found.visible.probability(at), 1 / (1 + np.exp(-offset - slope * at)), atol=0.02)
    assert (found.visible.people, found.visible.images, found.note) == (6, len(held), "")
    assert found.visible.slope != found.whole.slope

    images = Images(tiny.root, held, model.preprocessing)
    alone = extract(model.main_stream, images, batch=EvaluateConfig().batch).numpy()
    both = extract(model.main_stream, images, batch=EvaluateConfig().batch, visible=True).numpy()
    assert alone.tobytes() == np.ascontiguousarray(both[:, : alone.shape[1]]).tobytes()


def test_visible_distances_that_separate_nobody_leave_the_others_calibrated(tiny, tmp_path, monkeypatch):
    import dsa_train.calibration_fit as module

    def check(curve, slope, genuine=module.check_separates, calls=[]):  # noqa: B006, it counts
        calls.append(curve)
        genuine(curve, 1.0 if len(calls) == 4 else slope)

    monkeypatch.setattr(module, "check_separates", check)
    model = dsa_reid.load(write_model(tmp_path / "model.pt", **REGIONS))
    found = calibrate(model.main_stream, tiny.root, tiny.records("train"), model.preprocessing, EvaluateConfig())
    assert found.whole.slope > 0
    assert found.visible is None
    assert "do not separate the people held out" in found.note
    assert calibrate(model.main_stream, tiny.root, [], model.preprocessing, EvaluateConfig()) == (None, None, "")


def test_a_run_with_regions_has_both_and_evaluates_by_them(tiny, train, tmp_path, monkeypatch):
    network = {"main": {"trunk": "resnet18", "width": 0.125, **REGIONS}, "weights": "none", "classifier_width": 8}
    path = train(tmp_path, calibrate=0.5, network=network)
    model = dsa_reid.load(path)
    assert model.visible_calibration.people == 3
    task = Task(tiny.manifest, tiny.root, tiny.dsap, path, None, None, "market1501")
    images = tiny.records("gallery")
    visible = EvaluateConfig(distance="visible")
    assert calibration_of(task, visible, images) == model.visible_calibration
    assert calibration_of(task, EvaluateConfig(), images) == model.calibration
    assert calibration_of(task, dataclasses.replace(visible, min_seen=0.2), images) is None
    assert calibration_of(task, dataclasses.replace(visible, unseen=0.5), images) is None
    query, gallery, device = query_and_gallery(task, visible)
    found = same_or_not(query, gallery, visible, device, model.visible_calibration)
    assert 0 <= found.reliability.ece <= 1
    text = same_or_not_report.table(found)
    assert "Calibration of P(same): expected error" in text
    reason = uncalibrated(dataclasses.replace(visible, min_seen=0.2), images)
    bare = same_or_not(query, gallery, visible, device)
    assert "No probabilities: a calibration is of the model's own distances, and evaluate.min_seen changes them." in (
        same_or_not_report.table(bare, reason)
    )
