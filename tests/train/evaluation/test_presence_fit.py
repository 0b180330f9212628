"""P(in the gallery): the promise of "nobody here" is kept in galleries of other sizes and of other people."""

import math

import numpy as np
import pytest
import torch

from dsa_data.records import Record
from dsa_reid.calibration import Calibration
from dsa_train.evaluation import presence_fit
from dsa_train.evaluation.calibrate import fit_logistic
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.matches import Labels
from dsa_train.evaluation.presence_fit import PresenceSearches, fit_presence, fitted
from dsa_train.evaluation.retrieval import Side
from dsa_train.evaluation.same_or_not import same_or_not

CPU, PLAIN = torch.device("cpu"), EvaluateConfig()
DIMENSIONS, NOISE = 12, 0.75


def people(first, count, twins=False):
    """Return the points of some people of one endless population, (count, D); 2k and 2k + 1 may be alike."""
    points = np.stack([np.random.default_rng([1, n]).normal(size=DIMENSIONS) for n in range(first, first + count)])
    if twins:
        points[1::2] = points[::2] + 0.3 * points[1::2]
    return points


def side(points, first, images, seed, camera=1):
    """Return unit features of some images of each person, from three cameras."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(first, first + len(points)), images)
    rows = points[pids - first] + NOISE * rng.normal(size=(len(pids), DIMENSIONS))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cameras = np.tile(np.arange(images) % 3 + camera, len(points))
    records = [
        Record(f"{seed}/{n}.jpg", "", int(pid), int(camid), 0, 0, "")
        for n, (pid, camid) in enumerate(zip(pids, cameras, strict=True))
    ]
    return Side(rows.astype(np.float32), records, cameras)


def joined(one, other):
    features = np.concatenate([one.features, other.features])
    return Side(features, [*one.records, *other.records], np.concatenate([one.camids, other.camids]))


def of_pairs(held):
    curve = same_or_not(held, held, PLAIN, CPU).pairs.curve
    offset, slope = fit_logistic(curve.middles, curve.same.astype(float), curve.different.astype(float))
    return Calibration(offset, -slope, 0.0, 0.0, 1, len(held.records))


def calibrated(held, everyone):
    first = of_pairs(held)
    return Calibration(
        first.offset, first.slope, 0.0, 0.0, 1, 1, present=fit_presence(held, everyone, PLAIN, CPU, first)
    )


def some(gallery, seed):
    """Return a gallery with from one to all images of each person: it is fitted for that."""
    rng, rows = np.random.default_rng(seed), []
    for pid in np.unique(gallery.pids):
        own = np.flatnonzero(gallery.pids == pid)
        rows += rng.choice(own, rng.integers(1, len(own) + 1), replace=False).tolist()
    return Side(gallery.features[rows], [gallery.records[row] for row in rows], gallery.camids[rows])


def kept(calibration, count, first=5000, twins=False):
    """Return the open-set measures among people whom the fit has not seen."""
    points = people(first, count, twins)
    query, gallery = side(points, first, 2, 7, camera=9), some(side(points, first, 4, 8), first)
    return same_or_not(query, gallery, PLAIN, CPU, calibration).open_set


@pytest.fixture(scope="module")
def everyone():
    """Images of 80 held-out people, and of these and 120 others."""
    points = people(0, 200)
    held = side(points[:80], 0, 6, 1)
    return held, joined(held, side(points[80:], 80, 6, 2))


@pytest.fixture(scope="module")
def fit(everyone):
    return calibrated(*everyone)


@pytest.mark.parametrize("count", [50, 100, 200, 400, 800])
def test_the_promise_is_kept_in_smaller_and_larger_galleries(fit, count):
    """Of about 125 to 2000 images; it was fitted on 149 to 1194."""
    found = kept(fit, count)
    assert found.nobody is not None
    assert found.nobody["searches"] > count / 2
    assert found.nobody["low"] <= found.nobody["promised"] <= found.nobody["high"]
    assert found.nobody["promised"] > 0.55  # and says something
    assert found.reliability.ece < 0.06


def test_among_the_held_out_people_alone_too(everyone):
    held, _ = everyone
    found = kept(calibrated(held, held), 200).nobody
    assert found["low"] <= found["promised"] <= found["high"]


def test_look_alikes_who_were_trained_on_are_counted():
    """Held-out people are parted from their twins, who are in the training, and every gallery has both."""
    points = people(0, 200, twins=True)
    held = side(points[::2], 0, 6, 1)  # their numbers do not matter
    everyone = joined(held, side(points[1::2], 1000, 6, 2))
    among_all, alone = (kept(calibrated(held, one), 200, twins=True) for one in (everyone, held))
    assert among_all.nobody["low"] <= among_all.nobody["promised"] <= among_all.nobody["high"]
    assert among_all.reliability.ece < 0.03
    assert alone.reliability.ece > 0.05  # what a fit among held-out people alone does


def test_searches_that_do_not_tell_leave_even_odds():
    """Features without people in them."""
    rng = np.random.default_rng(0)
    held = side(np.zeros((12, DIMENSIONS)), 0, 6, 1)
    rows = []
    for pid in range(12):
        for _ in range(40):
            nearest, expected = rng.normal(2, 1, 2)
            rows.append((pid, rng.integers(2), rng.integers(50, 500), nearest, expected))
    law = fitted(np.array(rows, float))
    at = np.linspace(-1, 5, 20)
    chances = [0.5] if law is None else 1 / (1 + np.exp(-law.log_odds(at, np.zeros(20), 200)))
    assert np.abs(np.array(chances) - 0.5).max() < 0.06
    first = Calibration(0.1, 0.1, 0.0, 0.0, 12, 72)
    empty = Calibration(0.1, 0.1, 0.0, 0.0, 12, 72, present=fit_presence(held, held, PLAIN, CPU, first))
    assert np.abs(empty.presence(rng.random((5, 90))) - 0.5).max() < 0.1


def test_too_few_people_to_tell_have_no_law():
    held = side(people(0, 1), 0, 6, 1)
    assert fit_presence(held, held, PLAIN, CPU, Calibration(4.0, 4.0, 0.0, 0.0, 1, 6)) is None


def test_the_searches_are_of_every_size_with_some_images_of_the_person_and_without():
    calibration = Calibration(6.0, 4.0, 0.0, 0.0, 1, 1)
    found = PresenceSearches(calibration, repeats=50)
    distances = np.concatenate([[0.1, 0.2, 0.3, 0.4], np.linspace(1, 2, 16)])[None].astype(np.float32)
    # the first of the four own images is of the query's camera
    labels = Labels(np.array([5]), np.array([5] * 4 + [6] * 16), np.array([1]), np.array([1, 2, 2, 3] + [2] * 16))
    found.add_block(distances, labels)
    rows = np.array(found.rows, float)
    assert len(rows) == 50 * len(presence_fit.SIZES) * 2
    present, absent = rows[rows[:, 1] == 1], rows[rows[:, 1] == 0]
    assert sorted(set(absent[:, 2])) == [2, 4, 8, 16]
    assert {int(one) for one in present[:, 2] - absent[:, 2]} == {1, 2, 3}
    assert set(np.round((6 - present[:, 3]) / 4, 3)) == {0.2, 0.3, 0.4}  # never the image of the query's camera
    assert ((6 - absent[:, 3]) / 4).min() >= 0.9999
    of_all = absent[absent[:, 2] == 16]
    others = distances[0, 4:].astype(float)
    np.testing.assert_allclose(of_all[:, 3], 6 - 4 * 1.0, rtol=1e-6)
    np.testing.assert_allclose(of_all[:, 4], 6 - 4 * others.mean() + 8 * others.var(), rtol=1e-6)


def test_the_law_that_made_the_searches_is_found():
    rng = np.random.default_rng(0)
    x, nearest, expected = rng.uniform(-1, 1, 20000), rng.normal(3, 2, 20000), rng.normal(0, 2, 20000)
    weight = np.clip(0.6 - 0.2 * x, 0, 1)
    odds = weight * (nearest - 0.3 * expected - 2.5 - 0.4 * x)
    present = rng.random(20000) < 1 / (1 + np.exp(-odds))
    rows = np.stack([rng.integers(0, 200, 20000), present, 300 * np.exp(x), nearest, expected], axis=1)
    law = fitted(rows)
    moved = math.log(law.size / 300)  # the lines are about another middle
    assert law.weight == pytest.approx(0.6 - 0.2 * moved, abs=0.04)
    assert law.weight_loss == pytest.approx(0.2, abs=0.04)
    assert law.limit == pytest.approx(2.5 + 0.4 * moved, abs=0.1)
    assert law.limit_growth == pytest.approx(0.4, abs=0.1)
    assert law.usual == pytest.approx(0.3, abs=0.06)
