import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import TrainingError
from dsa_train.evaluation.matches import Labels
from dsa_train.evaluation.metrics import Result, chance
from dsa_train.evaluation.single_shot import find_sampled_matches, measure_sampled, sample_orders

R = 6


def evaluate_single_shot(distmat, *labels, max_rank=50, repeats=10, seed=0) -> Result:
    orders = sample_orders(distmat.shape[1], repeats, seed)
    return measure_sampled(find_sampled_matches(distmat, Labels(*labels), orders), repeats, max_rank)


def case(seed: int, ties: bool, Q: int = 10, G: int = 30):
    generator = np.random.default_rng(seed)
    distmat = generator.integers(0, 6, (Q, G)) / 5 if ties else generator.random((Q, G))
    pids, camids = (lambda n: generator.integers(0, 6, n)), (lambda n: generator.integers(0, 2, n))
    return distmat, pids(Q), pids(G), camids(Q), camids(G)


def by_definition(distmat, q_pids, g_pids, q_camids, g_camids, orders):
    """Rank-k and 1/rank, sampling image by image and looking at one distance after another."""
    ranks = []
    for row, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        if not any(g_pids[n] == pid and g_camids[n] != camid for n in range(len(g_pids))):
            continue
        for order in orders:
            gallery = {}
            for n in np.argsort(order):
                if not (g_pids[n] == pid and g_camids[n] == camid):
                    gallery.setdefault(g_pids[n], n)
            right = row[gallery.pop(pid)]
            ranks.append(1 + sum(row[n] <= right for n in gallery.values()))
    ranks = np.array(ranks)
    return [np.mean(ranks <= k) for k in range(1, 6)], np.mean(1 / ranks)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_definition(seed, ties):
    arguments = case(seed, ties)
    cmc, mean_ap = by_definition(*arguments, sample_orders(30, R, seed))
    result = evaluate_single_shot(*arguments, max_rank=5, repeats=R, seed=seed)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-9)
    assert result.mAP == pytest.approx(mean_ap, abs=1e-9)
    assert np.nanmean(result.ap) == pytest.approx(result.mAP)


def test_by_hand():
    # person 1 is always sampled from its only image of another camera, whatever is sampled of person 2
    distmat = np.array([[0.2, 0.0, 0.1, 0.3]])
    g_pids, g_camids = np.array([1, 1, 2, 2]), np.array([2, 1, 1, 1])
    result = evaluate_single_shot(distmat, np.array([1]), g_pids, np.array([1]), g_camids, max_rank=2, repeats=400)
    assert result.cmc[1] == 1
    assert result.cmc[0] == pytest.approx(0.5, abs=0.08)
    assert (result.queries, result.left_out, len(result.ap)) == (1, 0, 1)


def test_by_trapezoids():
    # the one match is second: precision 0 before it and 1/2 at it
    one, zero = np.array([1]), np.array([0])
    orders = sample_orders(2, 3, 0)
    labels = Labels(one, np.array([1, 2]), zero, np.array([1, 1]))
    matches = find_sampled_matches(np.array([[0.2, 0.1]]), labels, orders)
    assert measure_sampled(matches, 3).mAP == pytest.approx(1 / 2)
    assert measure_sampled(matches, 3, trapezoid=True).mAP == pytest.approx(1 / 4)


def test_one_image_each_is_the_same_for_every_seed():
    distmat = np.random.default_rng(0).random((5, 5))
    pids, zeros = np.arange(5), np.zeros(5, int)
    first, second = (evaluate_single_shot(distmat, pids, pids, zeros, zeros + 1, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.cmc, second.cmc)
    ranks = (distmat <= distmat.diagonal()[:, None]).sum(1)
    assert first.mAP == pytest.approx(np.mean(1 / ranks))


def test_agrees_in_the_mean_with_a_gallery_sampled_for_each_query():
    """torchreid samples a gallery for each query anew; many repetitions of either come to the same."""
    distmat, q_pids, g_pids, q_camids, g_camids = case(1, ties=False)
    generator = np.random.default_rng(0)
    hits = []
    for row, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        kept = np.flatnonzero((g_pids != pid) | (g_camids != camid))
        if not (g_pids[kept] == pid).any():
            continue
        for _ in range(1000):
            sampled = [generator.choice(kept[g_pids[kept] == one]) for one in np.unique(g_pids[kept])]
            hits.append(g_pids[min(sampled, key=row.__getitem__)] == pid)
    result = evaluate_single_shot(distmat, q_pids, g_pids, q_camids, g_camids, repeats=4000)
    assert result.rank(1) == pytest.approx(np.mean(hits), abs=0.02)


def test_chance_is_that_of_as_many_identities():
    n = 30
    pids, zeros = np.arange(n), np.zeros(n, int)
    matches = find_sampled_matches(np.zeros((n, n)), Labels(pids, pids, zeros, zeros + 1), sample_orders(n, 2, 0))
    assert chance(matches) == pytest.approx(np.mean(1 / np.arange(1, n + 1)), rel=0.05)


def test_no_match_in_another_camera():
    one = np.array([1])
    with pytest.raises(TrainingError, match="cameras=ignore"):
        evaluate_single_shot(np.ones((1, 1)), one, one, one, one)
