import numpy as np
import pytest

from dsa_train.evaluation.camera_pairs import CameraPairs
from dsa_train.evaluation.matches import Labels
from dsa_train.evaluation.metrics import evaluate


def test_each_pair_as_if_it_were_alone():
    generator = np.random.default_rng(0)
    distmat = generator.random((20, 60))
    q_pids, g_pids = generator.integers(0, 4, 20), generator.integers(0, 4, 60)
    q_camids, g_camids = generator.integers(0, 3, 20), generator.integers(0, 3, 60)
    pairs = CameraPairs()
    for some in (slice(0, 7), slice(7, 20)):
        pairs.add(distmat[some], Labels(q_pids[some], g_pids, q_camids[some], g_camids))
    found = pairs.results()
    assert set(found) == {(a, b) for a in range(3) for b in range(3) if a != b}
    for (a, b), result in found.items():
        here, there = q_camids == a, g_camids == b
        alone = evaluate(distmat[here][:, there], q_pids[here], g_pids[there], q_camids[here], g_camids[there])
        assert result.mAP == pytest.approx(alone.mAP)
        np.testing.assert_array_equal(result.cmc, alone.cmc)


def test_cameras_without_a_common_person_are_not_measured():
    pairs = CameraPairs()
    pairs.add(np.ones((1, 2)), Labels(np.array([1]), np.array([1, 2]), np.array([1]), np.array([2, 3])))
    assert set(pairs.results()) == {(1, 2)}
