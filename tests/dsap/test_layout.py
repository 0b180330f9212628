"""The body layout: every part once, and each turned as real and synthetic people show it."""

import numpy as np
import pytest

from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of
from dsap.layout import BACK, CAPTION, EMPTY, FRONT, GAP, UPWARD, below, beside, body, turned
from dsap_cases import fields, real_maps

PLACES = {**FRONT, **BACK}


def test_every_part_has_one_place() -> None:
    assert sorted([*FRONT, *BACK]) == list(range(1, 25))
    for figure in (FRONT, BACK):
        cells = [
            (place.x + i, place.y + j)
            for place in figure.values()
            for i in range(place.span)
            for j in range(place.span)
        ]
        assert len(set(cells)) == len(cells)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("+v+u", [[0, 1], [2, 3]]),  # as stored: rows U, columns V
        ("-v+u", [[1, 0], [3, 2]]),
        ("+v-u", [[2, 3], [0, 1]]),
        ("+u+v", [[0, 2], [1, 3]]),
        ("+u-v", [[1, 3], [0, 2]]),
        ("-u+v", [[2, 0], [3, 1]]),
    ],
)
def test_turned_by_hand(axes: str, expected: list[list[int]]) -> None:
    assert turned(np.array([[0, 1], [2, 3]]), axes).tolist() == expected


def assert_upright(gradient: np.ndarray, chart: int, axes: str) -> None:
    """Check that what runs to the right and down does so in the pictures: gradient U by x and y, V by x and y."""
    by_x = {"u": gradient[0], "v": gradient[2]}
    by_y = {"u": gradient[1], "v": gradient[3]}
    assert by_x[axes[1]] * (1 if axes[0] == "+" else -1) > 0, f"chart {chart}: not {axes[:2]} to the right"
    assert by_y[axes[3]] * (1 if axes[2] == "+" else -1) > 0, f"chart {chart}: not {axes[2:]} down"


def test_parts_are_turned_as_real_people_show_them(shared) -> None:
    gradient, _ = fields(real_maps(shared))
    for chart, place in PLACES.items():
        if chart != 4:  # its few hands point everywhere; it is placed as the mirror of chart 3
            assert_upright(gradient[chart - 1], chart, place.axes)


def test_parts_are_turned_as_synthetic_people_show_them() -> None:
    drawn = SynthConfig(train_identities=150, test_identities=1, occluded=0)
    gradient, _ = fields([render(scene_of(drawn, shots[0]))[1] for shots in plan(drawn)[:150]])
    for chart, place in PLACES.items():
        axes = place.axes.replace("-u", "+u") if chart in UPWARD else place.axes
        assert_upright(gradient[chart - 1], chart, axes)


@pytest.mark.parametrize(
    ("turns", "corner"),
    [("densepose", (0, 1)), ("synthetic", (0, 1)), ("none", (0, 0))],  # the torso's V runs to the left
)
def test_a_texel_is_where_it_should_be(turns: str, corner: tuple[int, int]) -> None:
    texels, valid = np.zeros((24, 4, 4, 3), np.uint8), np.zeros((24, 4, 4), bool)
    texels[2 - 1, 0, 0], valid[2 - 1, 0, 0] = (250, 10, 10), True
    page = body(texels, valid, turns, cell=40)  # type: ignore[arg-type]
    place = FRONT[2]
    x, y = place.x * (40 + GAP), CAPTION + place.y * (40 + CAPTION)
    side_x, side_y = 2 * (40 + GAP) - GAP, 2 * (40 + CAPTION) - CAPTION
    row, column = corner
    found = page[y + 2 if row == 0 else y + side_y - 3, x + 2 if column == 0 else x + side_x - 3]
    assert found.tolist() == [250, 10, 10]
    assert page[y + side_y - 3, x + side_x // 2].tolist() == list(EMPTY)
    assert (page == (250, 10, 10)).all(axis=2).mean() < 0.05


def test_pages_join() -> None:
    tall, wide = np.zeros((5, 2, 3), np.uint8), np.zeros((3, 7, 3), np.uint8)
    assert beside([tall, wide], gap=1).shape == (5, 10, 3)
    assert below([tall, wide], gap=1).shape == (9, 7, 3)
    assert (beside([tall, wide], gap=1)[3:, 3:] == 255).all()
