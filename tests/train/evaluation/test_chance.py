"""Chance: expected measures of random rankings, against small cases by hand and against sampled rankings."""

import itertools

import numpy as np
import pytest

from dsa_train.evaluation.chance import chance_cmc, chance_minp
from dsa_train.evaluation.matches import Matches
from dsa_train.evaluation.metrics import measure


def matches(*kinds):
    """Queries with c matches among M images, at ranks that do not matter here."""
    ranks = np.concatenate([np.arange(1, c + 1) for c, _ in kinds] or [np.empty(0, int)])
    return Matches(ranks, np.array([c for c, _ in kinds]), np.array([m for _, m in kinds]))


def test_one_match_among_four_images_by_hand():
    assert chance_cmc(matches((1, 4)), 5) == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert chance_minp(matches((1, 4))) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_every_ranking_of_five_images_with_two_matches():
    """All ten places of two matches among five images, one by one."""
    places = list(itertools.combinations(range(1, 6), 2))
    every = [measure(Matches(np.array(place), np.array([2]), np.array([5])), max_rank=5) for place in places]
    some = matches((2, 5))
    assert chance_cmc(some, 5) == pytest.approx(np.mean([one.cmc for one in every], axis=0))
    assert chance_minp(some) == pytest.approx(np.mean([one.mINP for one in every]))


def test_queries_of_different_kinds_count_alike_and_those_without_a_match_do_not_count():
    both = matches((1, 4), (2, 5), (0, 9), (1, 4))
    expected = (2 * chance_cmc(matches((1, 4)), 8) + chance_cmc(matches((2, 5)), 8)) / 3
    assert chance_cmc(both, 8) == pytest.approx(expected)
    assert chance_minp(both) == pytest.approx((2 * chance_minp(matches((1, 4))) + chance_minp(matches((2, 5)))) / 3)


def test_a_large_gallery_is_computed_without_overflow():
    large = matches((12, 19_732), (1, 500_000))
    curve = chance_cmc(large)
    assert np.isfinite(curve).all()
    assert (np.diff(curve) > 0).all()
    assert 0 < chance_minp(large) < 0.001
