import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_reid.calibration import Calibration, read_calibration
from dsa_reid.errors import ModelError
from dsa_reid.exports import _about
from dsa_reid.presence import Presence
from thin import PREPROCESSING, write_model

LOGISTIC = Calibration(6.0, 4.0, -1.0, 2.0, 20, 120, ((0.01, 1.1, 1.0, 1.2),))
LAW = Presence(weight=0.5, weight_loss=0.1, limit=3.0, limit_growth=0.4, usual=0.25, size=1000.0)
NEAREST = dataclasses.replace(LOGISTIC, present=LAW)


def calibrated(path):
    plain = dsa_reid.load(write_model(path))
    return dsa_reid.load(dsa_reid.save(plain.main_stream, path, PREPROCESSING, calibration=LOGISTIC))


def test_probabilities_by_hand():
    assert LOGISTIC.probability(1.5) == pytest.approx(0.5)
    assert LOGISTIC.probability(1.0) == pytest.approx(1 / (1 + math.exp(-2)))
    # one such pair in a thousand is of one person: odds of 1 : 999
    assert LOGISTIC.probability(1.0, prior=0.001) == pytest.approx(math.exp(2) / (math.exp(2) + 999))
    falling = LOGISTIC.probability(np.linspace(0, 3, 50))
    assert (np.diff(falling) < 0).all()


def test_the_type_that_was_given_comes_back():
    assert isinstance(LOGISTIC.probability(1.0), float)
    assert LOGISTIC.probability(np.ones((2, 3))).shape == (2, 3)
    tensor = LOGISTIC.probability(torch.ones(2, 3, dtype=torch.float32))
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, torch.full((2, 3), LOGISTIC.probability(1.0), dtype=torch.float32))


def test_evidence_is_the_mean_ratio_over_what_is_usual_for_the_query():
    rows = np.random.default_rng(0).normal(1.6, 0.2, (3, 500))
    expected = np.log(np.exp(6 - 4 * rows).mean(1)) - (6 - 4 * rows.mean(1) + 16 * rows.var(1) / 2)
    np.testing.assert_allclose(LOGISTIC.evidence(rows), expected)
    assert np.abs(expected).max() < 0.15  # normal distances, of others alone: nothing unusual
    moved = rows + np.array([[0.0], [0.5], [-0.5]])  # a query that is near everybody says no more than another
    np.testing.assert_allclose(LOGISTIC.evidence(moved), expected)
    rows[:, 0] = 0.2  # its ratio is exp(5.2), of a mean of exp(6 - 6.4 + 0.32) over 500
    gained = LOGISTIC.evidence(rows) - expected
    assert ((gained > 0.2) & (gained < 0.4)).all()


def test_of_the_nearest_images_as_of_all():
    rows = np.sort(np.random.default_rng(0).normal(2.0, 0.3, (3, 5000)), axis=1)
    whole = LOGISTIC.presence(rows)
    nearest = LOGISTIC.presence(rows[:, :200], gallery=5000, sample=rows[:, ::5])
    np.testing.assert_allclose(nearest, whole, atol=0.01)
    padded = np.concatenate([rows[:, :20], np.full((3, 5), np.inf)], axis=1)
    np.testing.assert_allclose(LOGISTIC.presence(padded, 5000, rows), LOGISTIC.presence(rows[:, :20], 5000, rows))


def test_presence_by_the_nearest_image_by_hand():
    rows = np.random.default_rng(0).normal(1.6, 0.2, (1, 1000))
    rows[0, 7] = 0.5  # a log ratio of 6 - 4 · 0.5 = 4
    expected = 6 - 4 * rows.mean() + 16 * rows.var() / 2
    odds = 0.5 * (4 - 0.25 * expected - 3.0)
    np.testing.assert_allclose(NEAREST.presence_odds(rows), odds)
    np.testing.assert_allclose(NEAREST.presence(rows), 1 / (1 + math.exp(-odds)))
    np.testing.assert_allclose(NEAREST.presence(rows, prior=0.2), 1 / (1 + 4 * math.exp(-odds)))
    # in a gallery e times as large the limit is 0.4 farther, and the weight 0.1 less
    larger = 0.4 * (4 - 0.25 * expected - 3.4)
    np.testing.assert_allclose(NEAREST.presence_odds(rows, gallery=round(1000 * math.e)), larger, rtol=1e-3)


def test_near_images_say_less_in_a_larger_gallery():
    near = np.array([[0.1, 1.5, 1.6, 1.4]])
    away = [float(abs(NEAREST.presence(near, 10**n, near)[0] - 0.5)) for n in range(1, 12)]
    assert all(one >= other for one, other in itertools.pairwise(away))
    assert away[0] > 0.4
    assert away[-1] == 0  # so many people resemble somebody by chance that a search does not tell
    steep = dataclasses.replace(LAW, weight=1.9)
    assert steep.log_odds(np.float64(8), np.float64(0), 1) == pytest.approx(2 * (8 - 3 + 0.4 * math.log(1000)))


def test_presence_of_the_nearest_images_and_a_sample():
    rows = np.sort(np.random.default_rng(0).normal(2.0, 0.3, (3, 5000)), axis=1)
    np.testing.assert_allclose(NEAREST.presence(rows[:, :1], 5000, rows), NEAREST.presence(rows), rtol=1e-12)
    np.testing.assert_allclose(NEAREST.presence(rows[:, :200], 5000, rows[:, ::5]), NEAREST.presence(rows), atol=2e-3)
    none = NEAREST.presence(np.full((3, 5), np.inf), 5000, rows)
    assert (none < 1e-8).all()  # an index that found no image
    padded = np.concatenate([rows[:, :20], np.full((3, 5), np.inf)], axis=1)
    np.testing.assert_allclose(NEAREST.presence(padded, 5000, rows), NEAREST.presence(rows[:, :20], 5000, rows))


@pytest.mark.parametrize(
    "change", [{"weight": 2.5}, {"usual": -0.1}, {"size": 0}, {"limit": math.inf}, {"limit_growth": "0.4"}]
)
def test_a_law_that_cannot_be_is_refused(change):
    with pytest.raises(ModelError, match="calibration"):
        dataclasses.replace(LAW, **change)


def test_the_law_is_stored_and_files_without_it_are_read(tmp_path):
    path = write_model(tmp_path / "model.pt")
    plain = dsa_reid.load(path)
    dsa_reid.save(plain.main_stream, path, PREPROCESSING, calibration=NEAREST)
    model = dsa_reid.load(path)
    assert model.calibration == NEAREST
    assert read_calibration(_about(model, "inside", "inside", False)["calibration"]) == NEAREST
    rows = torch.rand(2, 9)
    torch.testing.assert_close(model.presence(rows), NEAREST.presence(rows))
    assert "present" not in LOGISTIC.written()  # as files of before
    assert read_calibration(LOGISTIC.written()) == LOGISTIC


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.5])
def test_a_prior_that_is_no_probability_is_refused(prior):
    with pytest.raises(ModelError, match=r"prior = .* is invalid"):
        LOGISTIC.probability(1.0, prior)


def test_it_is_stored_in_the_model_and_stated_by_exports(tmp_path):
    model = calibrated(tmp_path / "model.pt")
    assert model.calibration == LOGISTIC
    assert model.probability(1.0) == LOGISTIC.probability(1.0)
    rows = torch.rand(2, 9)
    torch.testing.assert_close(model.presence(rows), LOGISTIC.presence(rows))
    assert read_calibration(_about(model, "inside", "inside", False)["calibration"]) == LOGISTIC


def test_a_model_without_one_keeps_its_bytes_and_says_how_to_get_one(tmp_path):
    path = write_model(tmp_path / "model.pt")
    before = path.read_bytes()
    plain = dsa_reid.load(path)
    dsa_reid.save(plain.main_stream, path, PREPROCESSING, calibration=None)
    assert path.read_bytes() == before
    assert "calibration" not in _about(plain, "inside", "inside", False)
    with pytest.raises(ModelError, match=r"not calibrated.*--set train\.calibrate=0\.2"):
        plain.probability(1.0)


REGIONS = {"local_pooling": "regions", "local_head": "pointwise"}
VISIBLE = Calibration(3.0, 5.0, 0.5, 1.0, 20, 120)


def test_visible_distances_have_their_own(tmp_path):
    plain = dsa_reid.load(write_model(tmp_path / "plain.pt", **REGIONS))
    both = tmp_path / "both.pt"
    dsa_reid.save(plain.main_stream, both, PREPROCESSING, calibration=LOGISTIC, visible_calibration=VISIBLE)
    model = dsa_reid.load(both)
    assert (model.calibration, model.visible_calibration) == (LOGISTIC, VISIBLE)
    assert model.probability(0.7, visible=True) == VISIBLE.probability(0.7) != model.probability(0.7)
    rows = torch.rand(2, 9)
    torch.testing.assert_close(model.presence(rows, visible=True), VISIBLE.presence(rows))
    about = _about(model, "inside", "inside", True)
    assert read_calibration(about["calibration"]) == LOGISTIC
    assert read_calibration(about["visible_calibration"]) == VISIBLE
    assert "visible_calibration" not in _about(model, "inside", "inside", False)  # such an export has no visibilities


def test_what_has_no_probabilities_of_visible_distances_says_why(tmp_path):
    with pytest.raises(ModelError, match="does not predict body regions"):
        calibrated(tmp_path / "model.pt").probability(1.0, visible=True)
    sees = dsa_reid.load(write_model(tmp_path / "sees.pt", **REGIONS))
    with pytest.raises(ModelError, match="This model is not calibrated"):
        sees.presence(torch.rand(2, 9), visible=True)
    older = dsa_reid.load(dsa_reid.save(sees.main_stream, tmp_path / "o.pt", PREPROCESSING, calibration=LOGISTIC))
    assert older.probability(1.5) == pytest.approx(0.5)
    with pytest.raises(ModelError, match="calibrated for distances of whole features alone"):
        older.probability(1.0, visible=True)


@pytest.mark.parametrize("name", ["calibration", "visible_calibration"])
@pytest.mark.parametrize(
    "change",
    [
        {"offset": "6"},
        {"slope": -1.0},
        {"slope": math.nan},
        {"thresholds": [[1, 2]]},
        {"more": 1},
        {"offset": None},
        {"present": {"weight": 0.5}},
        {"present": 3},
        {"present": {**dataclasses.asdict(LAW), "size": -1.0}},
    ],
)
def test_a_damaged_one_is_one_error_that_names_the_file(tmp_path, change, name):
    path = write_model(tmp_path / "model.pt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, name: {**LOGISTIC.written(), **change}}, path)
    with pytest.raises(ModelError) as error:
        dsa_reid.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("calibration", [LOGISTIC, NEAREST], ids=["by the mean", "by the nearest"])
def test_images_that_are_no_answer_are_left_out_of_the_gallery(calibration):
    near = np.array([[0.3, 1.5, 1.7], [1.6, 1.4, 1.8]])
    beside = np.concatenate([near, np.full((2, 2), np.inf)], axis=1)
    found = calibration.presence(beside, gallery=3)
    np.testing.assert_allclose(found, calibration.presence(near, gallery=3))
    nobody = calibration.presence(np.full((1, 3), np.inf))
    assert 0 <= nobody[0] < 0.5
    for empty, gallery in ((np.empty((1, 0)), None), (near, 0), (near, -5)):
        with pytest.raises(ModelError, match="A gallery without an image has no probability"):
            calibration.presence(empty, gallery=gallery)


@pytest.mark.parametrize("change", [{"other": 1.0}, {"present": {"other": 1.0}}, {"present": 3}], ids=str)
def test_a_calibration_of_a_newer_version_is_called_so(tmp_path, change):
    path = tmp_path / "model.pt"
    calibrated(path)
    content = torch.load(path, weights_only=True)
    content["calibration"] |= change
    torch.save(content, path)
    with pytest.raises(ModelError, match=r"model.pt: The model's calibration has other values .* newest dsa-reid"):
        dsa_reid.load(path)
    content["calibration"] = {**LOGISTIC.written(), "present": {**dataclasses.asdict(LAW), "weight": True}}
    torch.save(content, path)
    with pytest.raises(ModelError, match="holds what is not a number"):
        dsa_reid.load(path)
