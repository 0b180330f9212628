import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import TrainingError
from dsa_train.evaluation.matches import Labels, Matches, find_matches
from dsa_train.evaluation.metrics import chance, evaluate


def test_by_hand():
    # query 0: person 1, camera 0. Ranked: 0.1 false, 0.2 correct, 0.3 own camera (left out), 0.4 false, 0.5 correct
    distmat = np.array([[0.2, 0.1, 0.3, 0.5, 0.4]])
    g_pids, g_camids = np.array([1, 2, 1, 1, 3]), np.array([1, 0, 0, 2, 0])
    result = evaluate(distmat, np.array([1]), g_pids, np.array([0]), g_camids, max_rank=5)
    assert result.cmc.tolist() == [0, 1, 1, 1, 1]
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.mINP == pytest.approx(2 / 4)
    assert (result.queries, result.left_out) == (1, 0)
    assert result.rank(1) == 0
    assert result.rank(2) == 1


def test_at_ties_false_matches_are_ranked_first():
    """Whatever the order of the gallery."""
    g_pids, g_camids = np.array([1, 2, 3, 1]), np.ones(4, int)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        result = evaluate(np.zeros((1, 4)), np.array([1]), g_pids[order], np.array([0]), g_camids, max_rank=4)
        assert result.cmc.tolist() == [0, 0, 1, 1]
        assert result.ap[0] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_query_without_a_match_is_left_out():
    distmat = np.array([[0.1, 0.2], [0.1, 0.2]])
    result = evaluate(distmat, np.array([1, 2]), np.array([1, 2]), np.array([0, 0]), np.array([1, 0]))
    assert (result.queries, result.left_out) == (1, 1)
    assert result.mAP == 1
    assert np.isnan(result.ap[1])


def case(seed: int, ties: bool, Q: int = 12, G: int = 40):
    generator = np.random.default_rng(seed)
    distmat = generator.integers(0, 6, (Q, G)) / 5 if ties else generator.random((Q, G))
    pids, camids = (lambda n: generator.integers(0, 5, n)), (lambda n: generator.integers(0, 3, n))
    return distmat, pids(Q), pids(G), camids(Q), camids(G)


def by_definition(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, trapezoid):
    """The measures as the protocol's sentences define them, one gallery image after another."""
    aps, inps, curves = [], [], []
    for row, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        ranked = [
            (distance, g_pid == pid)
            for distance, g_pid, g_camid in zip(row, g_pids, g_camids, strict=True)
            if not (g_pid == pid and g_camid == camid)
        ]
        ranked.sort()  # False before True: at ties the false matches first
        total = sum(match for _, match in ranked)
        if not total:
            continue
        matches, ap, old_recall, old_precision, last = 0, 0.0, 0.0, 1.0, 0
        for position, (_, match) in enumerate(ranked, start=1):
            matches += match
            recall, precision = matches / total, matches / position
            if trapezoid:
                ap += (recall - old_recall) * (old_precision + precision) / 2
            elif match:
                ap += precision / total
            old_recall, old_precision = recall, precision
            if match:
                last = position
        aps.append(ap)
        inps.append(total / last)
        curves.append([any(match for _, match in ranked[:k]) for k in range(1, max_rank + 1)])
    return np.mean(curves, axis=0), np.mean(aps), np.mean(inps)


@given(seed=st.integers(0, 10_000), ties=st.booleans(), trapezoid=st.booleans())
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_definition(seed, ties, trapezoid):
    arguments = case(seed, ties)
    cmc, mean_ap, mean_inp = by_definition(*arguments, 50, trapezoid)
    result = evaluate(*arguments, max_rank=50, trapezoid=trapezoid)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-9)
    assert result.mAP == pytest.approx(mean_ap, abs=1e-9)
    assert result.mINP == pytest.approx(mean_inp, abs=1e-9)


def by_argsort(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """CMC and AP as torchreid documents them, INP as fast-reid does: from the argsorted rows, ties as they fall."""
    curves, aps, inps = [], [], []
    for query, order in enumerate(np.argsort(distmat, axis=1)):
        kept = order[(g_pids[order] != q_pids[query]) | (g_camids[order] != q_camids[query])]
        correct = g_pids[kept] == q_pids[query]
        if correct.any():
            total = correct.cumsum()
            curves.append(total[:max_rank] > 0)
            aps.append((total / np.arange(1, len(kept) + 1))[correct].mean())
            hardest = np.flatnonzero(correct)[-1]
            inps.append(total[hardest] / (hardest + 1))
    return np.mean(curves, axis=0), np.mean(aps), np.mean(inps)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_agrees_with_torchreid_and_fast_reid_where_nothing_ties(seed):
    arguments = case(seed, ties=False, G=80)
    cmc, mean_ap, mean_inp = by_argsort(*arguments, 20)
    result = evaluate(*arguments, max_rank=20)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-9)
    assert result.mAP == pytest.approx(mean_ap, abs=1e-9)
    assert result.mINP == pytest.approx(mean_inp, abs=1e-9)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_gallery_does_not_matter_and_cmc_never_falls(seed, ties):
    distmat, q_pids, g_pids, q_camids, g_camids = case(seed, ties)
    result = evaluate(distmat, q_pids, g_pids, q_camids, g_camids)
    order = np.random.default_rng(seed).permutation(len(g_pids))
    other = evaluate(distmat[:, order], q_pids, g_pids[order], q_camids, g_camids[order])
    np.testing.assert_array_equal(result.ap, other.ap)
    np.testing.assert_array_equal(result.cmc, other.cmc)
    assert (np.diff(result.cmc) >= 0).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_only_the_ranking_counts(seed):
    distmat, *rest = case(seed, ties=True)
    np.testing.assert_array_equal(evaluate(distmat, *rest).ap, evaluate(np.exp(3 * distmat), *rest).ap)


def test_a_match_in_the_own_camera_counts_for_nothing():
    distmat, q_pids, g_pids, q_camids, g_camids = case(3, ties=False)
    nearest = distmat.copy()
    own = (g_pids == q_pids[:, None]) & (g_camids == q_camids[:, None])
    nearest[own] = -1
    np.testing.assert_array_equal(
        evaluate(distmat, q_pids, g_pids, q_camids, g_camids).ap,
        evaluate(nearest, q_pids, g_pids, q_camids, g_camids).ap,
    )


def expected_ap(count: int, ranked: int) -> float:
    """The mean of average precision over all rankings of `ranked` images, `count` of them correct."""
    i = np.arange(1, ranked + 1)
    return float(np.mean((1 + (i - 1) * (count - 1) / max(ranked - 1, 1)) / i))


@pytest.mark.parametrize(("count", "ranked"), [(1, 30), (4, 30), (29, 30), (30, 30), (7, 400)])
def test_chance_is_what_arithmetic_expects(count, ranked):
    matches = Matches(np.arange(1, count + 1), np.array([count]), np.array([ranked]))
    drawn = chance(matches, repeats=20_000)
    assert drawn == pytest.approx(expected_ap(count, ranked), rel=0.03)
    assert drawn == chance(matches, repeats=20_000)
    assert drawn == 1 or drawn != chance(matches, repeats=20_000, seed=1)


def test_chance_by_trapezoids():
    one, zero = np.array([1]), np.array([0])
    matches = find_matches(np.array([[0.0, 1.0]]), Labels(one, np.array([1, 2]), zero, np.array([1, 1])))
    assert chance(matches, repeats=20_000) == pytest.approx((1 + 1 / 2) / 2, abs=0.01)  # first, or second of two
    assert chance(matches, repeats=20_000, trapezoid=True) == pytest.approx((1 + 1 / 4) / 2, abs=0.01)


def test_chance_leaves_out_what_the_evaluation_leaves_out():
    distmat, *labels = case(5, ties=False)
    shape = distmat.shape
    seen = [evaluate(np.random.default_rng(seed).random(shape), *labels).mAP for seed in range(300)]
    assert chance(find_matches(distmat, Labels(*labels)), repeats=2000) == pytest.approx(np.mean(seen), rel=0.03)


def test_what_cannot_be_measured_is_refused():
    one = np.array([1])
    with pytest.raises(TrainingError, match=r"another camera.*evaluate\.cameras=ignore"):
        evaluate(np.ones((1, 1)), one, one, one, one)
    with pytest.raises(TrainingError, match="at least one query and one gallery image"):
        evaluate(np.ones((1, 0)), one, one[:0], one, one[:0])
    with pytest.raises(TrainingError, match="1 x 2"):
        evaluate(np.ones((1, 2)), one, one, one, one)
    with pytest.raises(TrainingError, match="query 0 are not numbers"):
        evaluate(np.array([[np.nan, 1.0]]), one, np.array([1, 2]), one, np.array([2, 2]))
