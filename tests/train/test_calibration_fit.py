import dataclasses

import numpy as np
import pytest

import dsa_reid
from dsa_app.errors import TrainingError
from dsa_train.calibration_fit import calibrate, hold_out
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation_stage import Task, calibration_of
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
    np.testing.assert_allclose(calibration.offset, again.offset, rtol=1e-3)
    assert 0 < model.probability(0.0) <= 1
    assert model.probability(2.0) < model.probability(0.1)


def test_queries_and_gallery_are_not_read_for_it(tiny, train, tmp_path, monkeypatch):
    read = []
    import dsa_train.calibration_fit as module

    genuine = module.Images
    monkeypatch.setattr(module, "Images", lambda root, held, *more: read.extend(held) or genuine(root, held, *more))
    train(tmp_path, calibrate=0.5)
    assert {one.split for one in read} == {"train"}


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
