"""The measures of "same or not" against slow loops over all pairs."""

import numpy as np
import pytest
import torch

from dsa_data.records import Record
from dsa_reid.calibration import Calibration
from dsa_train.evaluation import same_or_not as module
from dsa_train.evaluation.calibrate import fit_logistic, pair_reliability, reliability
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.pair_counts import Curve, PairCounter
from dsa_train.evaluation.retrieval import Side
from dsa_train.evaluation.same_or_not import same_or_not, thresholds

CPU = torch.device("cpu")


def side(people, images, seed, noise=0.6, first_camera=1):
    """People at random points, and their images around them."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people), images)
    centres = np.random.default_rng(99).normal(size=(1000, 12))[:people]
    rows = centres[pids] + noise * rng.normal(size=(len(pids), 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cameras = np.tile(np.arange(images) % 3 + first_camera, people)
    records = [
        Record(f"{seed}/{n}.jpg", "", int(pid), int(camid), 0, 0, "")
        for n, (pid, camid) in enumerate(zip(pids, cameras, strict=True))
    ]
    return Side(rows.astype(np.float32), records, cameras)


@pytest.fixture(scope="module")
def sides():
    return side(20, 2, 1), side(26, 5, 2)  # six people are in the gallery alone


def pairs_of(query, gallery):
    """Every pair that counts: distance, same person, cameras."""
    found = []
    for q, qr in zip(query.features, query.records, strict=True):
        for g, gr in zip(gallery.features, gallery.records, strict=True):
            same = qr.pid == gr.pid
            if not (same and qr.camid == gr.camid):
                found.append((float(np.linalg.norm(q - g)), same, (qr.camid, gr.camid)))
    return found


def test_area_and_equal_error_rate_of_all_pairs(sides):
    found = same_or_not(*sides, EvaluateConfig(), CPU)
    pairs = pairs_of(*sides)
    same, different = (np.array([d for d, own, _ in pairs if own == kind]) for kind in (True, False))
    assert (found.pairs.curve.same.sum(), found.pairs.curve.different.sum()) == (len(same), len(different))
    wins = (same[:, None] < different).mean()
    assert found.auc == pytest.approx(wins, abs=2e-3)
    gaps = [abs((different <= t).mean() - (same > t).mean()) for t in different]
    best = different[int(np.argmin(gaps))]
    assert found.eer == pytest.approx((different <= best).mean(), abs=5e-3)
    assert found.thresholds[0].rate == 0.01
    assert (different <= found.thresholds[0].distance).mean() == pytest.approx(0.01, abs=2e-3)
    assert (same <= found.thresholds[0].distance).mean() == pytest.approx(found.thresholds[0].share, abs=0.02)
    assert found.thresholds[0].low <= found.thresholds[0].distance <= found.thresholds[0].high


def test_by_cameras(sides):
    found = same_or_not(*sides, EvaluateConfig(), CPU)
    pairs = pairs_of(*sides)
    assert set(found.pairs.by_cameras) == {cameras for _, same, cameras in pairs if same}
    for cameras, curve in found.pairs.by_cameras.items():
        same, different = (
            np.array([d for d, own, at in pairs if own == kind and at == cameras]) for kind in (True, False)
        )
        assert (curve.same.sum(), curve.different.sum()) == (len(same), len(different))
        assert module.area(curve) == pytest.approx((same[:, None] < different).mean(), abs=0.02)


def test_in_blocks_as_at_once(sides):
    few = EvaluateConfig(memory=7 * 4 * 130 / 2**30)
    one, other = (same_or_not(*sides, config, CPU) for config in (EvaluateConfig(), few))
    assert one.measures() == other.measures()


def test_bins_are_fine_and_in_order_below_zero_too():
    """fast-reid's distances are negative cosines."""
    values = np.sort(np.random.default_rng(0).normal(size=(1, 300)).astype(np.float32))
    counter = PairCounter()
    labels = module.Labels(np.array([0]), np.ones(300, int), np.array([1]), np.ones(300, int))
    counter.add(values, labels)
    curve = counter.result().curve
    assert curve.different.sum() == 300
    assert (np.diff(curve.values) > 0).all()
    at = np.searchsorted(curve.values, values[0])
    assert (values[0] <= curve.values[at]).all()
    np.testing.assert_allclose(curve.middles[at], values[0], rtol=2e-3)


def test_the_interval_of_a_threshold_covers_the_truth():
    """As often as it says: over samples of people from one population."""
    covered = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        own = rng.normal(0, 0.1, 60)  # some people look like many
        counter = PairCounter()
        for pid, shift in enumerate(own):
            row = np.abs(rng.normal(2 + shift, 0.3, (1, 400))).astype(np.float32)
            counter.add(row, module.Labels(np.array([pid]), np.full(400, 1000), np.array([1]), np.ones(400, int)))
        one = thresholds(counter.result(), (0.01,))[0]
        truth = 2 - 2.3263 * np.hypot(0.1, 0.3)
        covered.append(one.low <= truth <= one.high)
    assert 0.8 <= np.mean(covered) <= 1.0


def test_rates_that_too_few_pairs_show_are_left_out(sides):
    found = same_or_not(*sides, EvaluateConfig(), CPU)
    total = found.pairs.curve.different.sum()
    assert [one.rate for one in found.thresholds] == [rate for rate in module.RATES if rate * total >= 10]


def test_detection_and_identification_in_an_open_set(sides):
    query, gallery = sides
    found = same_or_not(query, gallery, EvaluateConfig(), CPU)
    match, false = [], []
    for q, qr in zip(query.features, query.records, strict=True):
        distances = np.linalg.norm(gallery.features - q, axis=1)
        own = gallery.pids == qr.pid
        match.append(distances[own & (gallery.camids != qr.camid)].min(initial=np.inf))
        false.append(distances[~own].min())
    match, false = np.array(match), np.array(false)
    for rate, share in found.open_set.detected:
        limit = np.sort(false)[int(rate * (len(false) - 1))]
        assert share == pytest.approx(((match <= limit) & (match < false)).mean(), abs=1e-6)
    assert 0 < found.open_set.detected[1][1] <= 1


def test_reliability_by_hand():
    chances, right, wrong = np.array([0.05, 0.05, 0.95]), np.array([1.0, 0, 3]), np.array([0.0, 3, 1])
    found = reliability(chances, right, wrong)
    assert found.ece == pytest.approx((4 * abs(0.05 - 0.25) + 4 * abs(0.95 - 0.75)) / 8)
    assert found.weight[[0, 9]].tolist() == [0.5, 0.5]
    assert found.true[9] == pytest.approx(0.75)
    assert np.isnan(found.true[5])


def test_the_map_that_made_the_labels_is_found_and_its_error_is_the_floor():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 2, 400)
    truth = 1 / (1 + np.exp(8 * x - 7))
    same = rng.multinomial(20000, truth / truth.sum())
    different = rng.multinomial(20000, (1 - truth) / (1 - truth).sum())
    intercept, slope = fit_logistic(x, same.astype(float), different.astype(float))
    # the kinds weigh alike: the intercept moves by the log of their shares in `truth`
    assert slope == pytest.approx(-8, rel=0.03)
    assert intercept == pytest.approx(7 - np.log(truth.sum() / (1 - truth).sum()), rel=0.03)
    curve = Curve(x, same, different)
    found = pair_reliability(curve, Calibration(intercept, -slope, 0, 1, 1, 1))
    assert found.ece < 2 * found.floor < 0.02
    wrong = pair_reliability(curve, Calibration(intercept, -2 * slope, 0, 1, 1, 1))
    assert wrong.ece > 5 * found.floor


def test_a_perfect_separation_has_a_finite_map():
    intercept, slope = fit_logistic(np.array([1.0, 2.0]), np.array([50.0, 0]), np.array([0, 50.0]))
    assert np.isfinite([intercept, slope]).all()
    assert slope < 0


def test_without_calibration_there_are_no_probabilities(sides):
    found = same_or_not(*sides, EvaluateConfig(), CPU)
    assert (found.reliability, found.open_set.reliability, found.open_set.nobody) == (None, None, None)
    assert found.measures()["calibration"] is None
