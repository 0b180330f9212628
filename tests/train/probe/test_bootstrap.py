"""Intervals of paired differences over persons."""

import numpy as np
import pytest

from dsa_train.probe.bootstrap import paired_difference

PIDS = np.repeat(np.arange(50), 2)


def test_a_constant_difference_has_no_width() -> None:
    ap = np.linspace(0, 0.8, 100)
    found = paired_difference(ap + 0.1, ap, PIDS, 200, 0)
    assert found == pytest.approx((0.1, 0.1, 0.1))
    assert found.above_zero


def test_noise_alone_is_not_above_zero() -> None:
    one, other = np.random.default_rng(0).random((2, 100))
    found = paired_difference(one, other, PIDS, 500, 0)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx((one - other).mean())
    assert found.low < 0 < found.high
    assert not found.above_zero


def test_queries_of_a_person_are_not_independent() -> None:
    """Ten copies of every query say nothing new."""
    one, other = np.random.default_rng(1).random((2, 40))
    pids = np.arange(40)
    few = paired_difference(one, other, pids, 2000, 0)
    many = paired_difference(*(np.repeat(x, 10) for x in (one, other, pids)), 2000, 0)
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=1e-9)
    independent = paired_difference(np.repeat(one, 10), np.repeat(other, 10), np.arange(400), 2000, 0)
    assert independent.high - independent.low < 0.5 * (few.high - few.low)


def test_queries_without_a_match_are_left_out() -> None:
    one, other = np.array([0.5, np.nan, 0.7]), np.array([0.4, np.nan, 0.5])
    assert paired_difference(one, other, np.array([1, 2, 3]), 50, 0).mean == pytest.approx(0.15)
