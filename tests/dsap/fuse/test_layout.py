"""The layout of a map: the view by hand and on rendered people, and the sides of their limbs."""

import math

import numpy as np
import pytest

from dsap.fuse.exchange import LIMBS, exchanged
from dsap.fuse.layout import facing, sides
from rendered_people import rendered_people


def torso(chart: int, v: list[int]) -> np.ndarray:
    """Return a map of 4 rows, each a torso with these V from left to right."""
    iuv = np.zeros((4, len(v), 3), np.uint8)
    iuv[..., 0], iuv[..., 2] = chart, v
    return iuv


@pytest.mark.parametrize(
    ("chart", "v", "angle"),
    [(2, [255, 128, 0], 180), (1, [0, 127, 255], 0), (2, [0, 0, 0], 90), (2, [255, 255, 255], -90), (1, [64], 45)],
)
def test_the_side_of_the_torso_that_faces_the_camera(chart: int, v: list[int], angle: float) -> None:
    found = facing(torso(chart, v))
    assert found is not None
    assert math.cos(found - math.radians(angle)) == pytest.approx(1, abs=1e-3)


def test_nothing_is_said_without_a_torso_or_without_limbs() -> None:
    assert facing(torso(8, [1, 2, 3])) is None
    assert sides(torso(8, [1, 2, 3]), "legs") == (0, 0)
    assert sides(torso(2, [255, 128, 0]), "arms") == (0, 0)
    assert sides(np.zeros((3, 3, 3), np.uint8), "arms") == (0, 0)


def test_arms_by_hand() -> None:
    """From the front: the right arm (16) on the viewer's left, the left one (15) on the right, 8 pixels apart."""
    iuv = np.zeros((20, 9, 3), np.uint8)
    iuv[:, 1:8] = torso(2, [255, 213, 170, 128, 85, 42, 0])[0]
    iuv[:, 0, 0], iuv[:, 8, 0] = 16, 15
    across, near = sides(iuv, "arms")
    assert across == pytest.approx(8 / 20, rel=1e-3)
    assert near == pytest.approx(0, abs=1e-6)
    assert sides(exchanged(iuv, "arms"), "arms")[0] == pytest.approx(-8 / 20, rel=1e-3)


def test_views_of_rendered_people_are_found() -> None:
    close = []
    for person in rendered_people():
        found = facing(person.iuv)
        assert found is not None
        close.append(math.cos(found - (math.pi + person.turn)))  # a turn of 0 is the front, a quarter the right side
    assert np.median(close) > 0.95


@pytest.mark.parametrize("limbs", LIMBS)
def test_true_maps_agree_and_exchanged_ones_do_not(limbs: str) -> None:
    clues = np.array([sides(person.iuv, limbs) for person in rendered_people()])
    others = np.array([sides(exchanged(person.iuv, limbs), limbs) for person in rendered_people()])
    total, other = 4 * clues[:, 0] + clues[:, 1], 4 * others[:, 0] + others[:, 1]
    assert (total > 0).mean() > 0.85
    assert (other < 0).mean() > 0.85
    np.testing.assert_allclose(clues[:, 1], -others[:, 1], atol=1e-9)
