import math

import pytest

from dsa_train.ablation.claims import Result, difference, interval, verdict


def row(name, **by_seed):
    seeds = [int(seed[1:]) for seed in by_seed]
    return Result(name, seeds, list(by_seed.values()), list(by_seed.values()))


def test_interval_by_hand():
    """Differences 1, 2, 3: mean 2, deviation 1, Student's t for two degrees at 95% is 4.3027."""
    found = interval([1.0, 2.0, 3.0])
    assert (found.seeds, found.mean) == (3, 2.0)
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_differences_are_paired_by_seed():
    one, other = row("a", s0=0.5, s1=0.7, s2=0.9), row("b", s2=0.8, s1=0.6)
    found = difference(one, other)
    assert found.seeds == 2
    assert found.mean == pytest.approx(0.1)
    assert found.low == pytest.approx(found.high)  # the same difference from both seeds: no spread
    assert difference(one, row("c", s7=0.1)).seeds == 0


def test_one_seed_has_no_interval():
    found = interval([0.2])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert verdict(found) == "inconclusive"
    assert verdict(interval([-0.2])) == "does not hold"


@pytest.mark.parametrize(
    ("differences", "as_good", "says"),
    [
        ([0.03, 0.031, 0.029], None, "holds"),
        ([-0.03, -0.031, -0.029], None, "reversed"),
        ([0.03, -0.02, 0.01], None, "inconclusive"),
        ([-0.03, 0.02, -0.01], None, "does not hold"),
        ([-0.003, -0.004, -0.002], 0.01, "holds"),  # worse, and by less than a point
        ([-0.003, -0.004, -0.002], None, "reversed"),
        ([-0.03, -0.031, -0.029], 0.01, "reversed"),
    ],
)
def test_verdicts(differences, as_good, says):
    assert verdict(interval(differences), as_good) == says
