import itertools

import pytest

from dsa_train.schedule import ScheduleConfig, learning_rate

PAPER = ScheduleConfig()


def test_warm_up_is_linear():
    rates = [learning_rate(epoch, PAPER) for epoch in range(21)]
    assert rates[0] == pytest.approx(8e-6)
    assert rates[20] == pytest.approx(8e-4)
    steps = [after - before for before, after in itertools.pairwise(rates)]
    assert steps == pytest.approx([(8e-4 - 8e-6) / 20] * 20)


@pytest.mark.parametrize(("done", "halvings"), [(60, 1), (100, 2), (140, 3), (180, 4), (300, 7)])
def test_halved_after_epochs_60_100_140(done, halvings):
    assert learning_rate(done - 1, PAPER) == pytest.approx(8e-4 / 2 ** (halvings - 1))
    assert learning_rate(done, PAPER) == pytest.approx(8e-4 / 2**halvings)


def test_no_warm_up():
    assert learning_rate(0, ScheduleConfig(warmup=0)) == 8e-4


def test_cosine_falls_by_halves_of_its_range():
    """Half-way down at half-time, 1/4 and 3/4 of the range after a third and two thirds (cos 60°), then still."""
    config = ScheduleConfig(fall="cosine", end=80, least=2e-4)
    assert [learning_rate(epoch, config) for epoch in (20, 40, 50, 60, 80, 200)] == pytest.approx(
        [8e-4, 6.5e-4, 5e-4, 3.5e-4, 2e-4, 2e-4]
    )
    assert learning_rate(10, config) == learning_rate(10, PAPER), "the warm-up is the same"


def test_a_cosine_without_epochs_is_refused():
    with pytest.raises(ValueError, match="more epochs"):
        ScheduleConfig(fall="cosine", end=20)


def test_steps_are_counted_from_the_start():
    """Luo et al. 2019: ten epochs of warm-up, a tenth after 40 and a hundredth after 70 epochs, and no more falls."""
    config = ScheduleConfig(lr=3.5e-4, warmup=10, warmup_lr=3.5e-6, decay=0.1, steps=(40, 70))
    rates = [learning_rate(done, config) for done in (0, 10, 39, 40, 69, 70, 119)]
    assert rates == pytest.approx([3.5e-6, 3.5e-4, 3.5e-4, 3.5e-5, 3.5e-5, 3.5e-6, 3.5e-6])


@pytest.mark.parametrize("more", [{"fall": "cosine", "end": 90}, {"warmup": 50}])
def test_steps_are_not_for_a_cosine_or_the_warm_up(more):
    with pytest.raises(ValueError, match="needs fall = steps"):
        ScheduleConfig(**{"warmup": 10, "steps": (40,), **more})
