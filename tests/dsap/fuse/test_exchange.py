"""Exchanged limbs: by hand, twice is nothing, in 16 bits, and undoing what the estimator's errors do."""

import numpy as np
import pytest

from densepose_extract.config import EstimatorErrors
from densepose_extract.engines import estimator_errors
from dsa_data.stores.iuv import refine
from dsap.fuse.exchange import LIMBS, TURNING, exchanged, exchanged_fine
from rendered_people import rendered_people


def test_by_hand() -> None:
    iuv = np.array([[[0, 0, 0], [2, 10, 20], [19, 30, 40], [4, 50, 60], [10, 70, 80], [6, 90, 99]]], np.uint8)
    arms = exchanged(iuv, "arms")
    assert arms[0].tolist() == [[0, 0, 0], [2, 10, 20], [20, 30, 215], [3, 50, 60], [10, 70, 80], [6, 90, 99]]
    legs = exchanged(iuv, "legs")
    assert legs[0].tolist() == [[0, 0, 0], [2, 10, 20], [19, 30, 40], [4, 50, 60], [9, 70, 175], [5, 90, 99]]


@pytest.mark.parametrize("limbs", LIMBS)
def test_twice_is_the_map_itself(limbs: str) -> None:
    rng = np.random.default_rng(0)
    iuv = rng.integers(0, 25, (9, 7, 3), dtype=np.uint8)
    assert (exchanged(exchanged(iuv, limbs), limbs) == iuv).all()
    fine = rng.integers(0, 65536, (9, 7, 2), dtype=np.uint16)
    once = exchanged_fine(fine, iuv[..., 0], limbs)
    assert (once != fine).any()
    assert (exchanged_fine(once, exchanged(iuv, limbs)[..., 0], limbs) == fine).all()


def test_16_bits_are_those_of_the_reversed_coordinate() -> None:
    v = np.linspace(0.001, 0.999, 50)
    chart = np.full(50, 8, np.uint8)
    fine = refine(chart, v, v)[None]
    expected = refine(chart, v, 1 - v)[None]
    assert np.abs(exchanged_fine(fine, chart[None], "legs").astype(int) - expected).max() <= 1


def test_charts_are_those_that_the_estimator_exchanges() -> None:
    assert LIMBS == {"arms": estimator_errors.ARMS, "legs": estimator_errors.LEGS}
    assert list(TURNING) == estimator_errors.TURNING.tolist()


def test_undoes_the_error_of_the_estimator() -> None:
    person = rendered_people()[0]
    errors = EstimatorErrors(swapped=1.0, missed=0, lost_limb=0, lost_chart=0, offset=0, noise=0, outline=0, rate=1.0)
    made = estimator_errors.estimate(person.iuv, errors, np.random.default_rng(0)).iuv
    assert (made != person.iuv).any()
    assert (exchanged(exchanged(made, "arms"), "legs") == person.iuv).all()
