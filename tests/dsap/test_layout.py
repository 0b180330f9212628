"""The body layout: every part once, each rotated as on real and synthetic people."""

import numpy as np
import pytest

from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of
from dsap.layout import BACK, CAPTION, EMPTY, FRONT, GAP, UPWARD, body, side_by_side, stacked, turned
from dsap_cases import fields, real_maps

CELLS = {**FRONT, **BACK}


def test_every_part_has_one_cell() -> None:
    assert sorted([*FRONT, *BACK]) == list(range(1, 25))
    for figure in (FRONT, BACK):
        cells = [
            (cell.x + i, cell.y + j) for cell in figure.values() for i in range(cell.span) for j in range(cell.span)
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
    """Check that the coordinates increase in the images as `axes` say: gradient U by x and y, V by x and y."""
    by_x = {"u": gradient[0], "v": gradient[2]}
    by_y = {"u": gradient[1], "v": gradient[3]}
    assert by_x[axes[1]] * (1 if axes[0] == "+" else -1) > 0, f"chart {chart}: not {axes[:2]} to the right"
    assert by_y[axes[3]] * (1 if axes[2] == "+" else -1) > 0, f"chart {chart}: not {axes[2:]} down"


def test_parts_are_rotated_as_on_real_people(shared) -> None:
    gradient, _ = fields(real_maps(shared))
    for chart, cell in CELLS.items():
        if chart != 4:  # hands point in all directions; chart 4 is the mirror of chart 3
            assert_upright(gradient[chart - 1], chart, cell.axes)


def test_parts_are_rotated_as_on_synthetic_people() -> None:
    config = SynthConfig(train_identities=150, test_identities=1, occluded=0)
    gradient, _ = fields([render(scene_of(config, shots[0]))[1] for shots in plan(config)[:150]])
    for chart, cell in CELLS.items():
        axes = cell.axes.replace("-u", "+u") if chart in UPWARD else cell.axes
        assert_upright(gradient[chart - 1], chart, axes)


@pytest.mark.parametrize(
    ("turns", "corner"),
    [("densepose", (0, 1)), ("synthetic", (0, 1)), ("none", (0, 0))],  # the torso's V increases to the left
)
def test_a_texel_is_where_it_should_be(turns: str, corner: tuple[int, int]) -> None:
    texels, valid = np.zeros((24, 4, 4, 3), np.uint8), np.zeros((24, 4, 4), bool)
    texels[2 - 1, 0, 0], valid[2 - 1, 0, 0] = (250, 10, 10), True
    page = body(texels, valid, turns, cell=40)  # type: ignore[arg-type]
    cell = FRONT[2]
    x, y = cell.x * (40 + GAP), CAPTION + cell.y * (40 + CAPTION)
    side_x, side_y = 2 * (40 + GAP) - GAP, 2 * (40 + CAPTION) - CAPTION
    row, column = corner
    texel = page[y + 2 if row == 0 else y + side_y - 3, x + 2 if column == 0 else x + side_x - 3]
    assert texel.tolist() == [250, 10, 10]
    assert page[y + side_y - 3, x + side_x // 2].tolist() == list(EMPTY)
    assert (page == (250, 10, 10)).all(axis=2).mean() < 0.05


def test_pages_join() -> None:
    tall, wide = np.zeros((5, 2, 3), np.uint8), np.zeros((3, 7, 3), np.uint8)
    assert side_by_side([tall, wide], gap=1).shape == (5, 10, 3)
    assert stacked([tall, wide], gap=1).shape == (9, 7, 3)
    assert (side_by_side([tall, wide], gap=1)[3:, 3:] == 255).all()
