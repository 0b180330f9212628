import numpy as np
import pytest

from dsa_train.evaluation.matches import Labels
from dsa_train.evaluation.metrics import evaluate
from dsa_train.evaluation.views import EDGES, ViewBins, differences


def test_angles_by_hand():
    found = differences(np.array([10.0, 350.0]), np.array([10.0, 350.0, 190.0, 100.0, 279.9]))
    np.testing.assert_allclose(found, [[0, 20, 180, 90, 90.1], [20, 0, 160, 110, 70.1]])


def test_by_hand():
    """Queries from the front; of the matches, one from the same side is second, one from behind is fourth."""
    distmat = np.array([[0.2, 0.4, 0.1, 0.3, 0.5]])
    g_pids, g_views = np.array([1, 1, 2, 2, 2]), np.array([44.9, 180.0, 180.0, 0.0, 0.0])
    bins = ViewBins()
    bins.add(distmat, Labels(np.array([1]), g_pids, np.array([1]), np.full(5, 2)), np.array([0.0]), g_views)
    found = bins.results()
    assert {bin_: one.mAP for bin_, one in found.items()} == {(0, 45): 1 / 2, (135, 180): 1 / 3}  # others stay


def test_each_bin_as_if_the_persons_other_images_were_not_there():
    generator = np.random.default_rng(0)
    distmat = generator.integers(0, 30, (20, 80)).astype(float)  # with ties
    q_pids, g_pids = generator.integers(0, 4, 20), generator.integers(0, 4, 80)
    q_camids, g_camids = generator.integers(0, 3, 20), generator.integers(0, 3, 80)
    q_views, g_views = generator.uniform(0, 360, 20), generator.uniform(0, 360, 80)
    bins = ViewBins()
    for some in (slice(0, 7), slice(7, 20)):
        bins.add(distmat[some], Labels(q_pids[some], g_pids, q_camids[some], g_camids), q_views[some], g_views)
    found = bins.results()
    assert list(found) == [(0, 45), (45, 90), (90, 135), (135, 180)]
    for (low, high), result in found.items():
        expected = []
        for n in range(20):
            apart = abs((g_views - q_views[n] + 180) % 360 - 180)
            stays = (g_pids != q_pids[n]) | ((apart >= low) & (apart < high))
            if (stays & (g_pids == q_pids[n]) & (g_camids != q_camids[n])).any():
                one = slice(n, n + 1)
                alone = evaluate(distmat[one, stays], q_pids[one], g_pids[stays], q_camids[one], g_camids[stays])
                expected.append(alone.mAP)
        assert result.queries == len(expected)
        assert result.mAP == pytest.approx(np.mean(expected))


def test_one_bin_over_all_is_the_whole():
    generator = np.random.default_rng(1)
    labels = [generator.integers(0, 3, count) for count in (9, 30, 9, 30)]
    distmat = generator.random((9, 30))
    bins = ViewBins((0, 180))
    bins.add(distmat, Labels(*labels), generator.uniform(0, 360, 9), generator.uniform(0, 360, 30))
    assert bins.results()[0, 180].mAP == pytest.approx(evaluate(distmat, *labels).mAP)
    assert EDGES[0] == 0
    assert EDGES[-1] == 180


def test_bins_without_a_match_are_not_measured():
    bins = ViewBins()
    assert bins.results() == {}
    labels = Labels(*map(np.array, ([1], [1, 2], [1], [2, 3])))
    bins.add(np.ones((1, 2)), labels, np.array([0.0]), np.array([100.0, 0.0]))
    assert set(bins.results()) == {(90, 135)}
