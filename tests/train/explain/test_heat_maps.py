import numpy as np
import pytest

from dsa_train.explain.heat_maps import GAP, HEIGHT, LEGEND, LINE, MARGIN, WIDTH, Row, heated, page


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)


def test_nothing_is_added_where_there_is_no_heat(image):
    cold = heated(image, np.zeros((64, 32)))
    assert (cold == cold[..., :1]).all(), "grey"
    hot = heated(image, np.ones((64, 32)))
    assert (hot[..., 0].astype(int) - hot[..., 2] > 60).all(), "yellow"


def cell(drawn, row, column):
    """Return the image in a cell; rows count from the first of two that belong together."""
    top = MARGIN + 2 * LINE + row * (2 * LINE + HEIGHT) + GAP + LINE
    left = MARGIN + column * (WIDTH + GAP)
    return drawn[top : top + HEIGHT, left : left + WIDTH]


def test_each_cell_shows_its_own_map(image):
    up, down = np.zeros((4, 2)), np.zeros((4, 2))
    up[0], down[3] = 1, 0.001
    region = np.zeros((64, 32), bool)
    region[20:40, 10:20] = True
    rows = [
        Row("guided: a", True, image, {"global": up, "torso": down}, {"torso": region}),
        Row("alone: a", False, image, {"global": down}),
    ]
    drawn = page(rows, "one line\nanother", "{:.3f}")
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] == 2 * MARGIN + LEGEND
    assert drawn.shape[0] == 2 * MARGIN + 2 * LINE + GAP + 2 * (2 * LINE + HEIGHT) + 4 * LINE

    def warm(row, column):
        shown = cell(drawn, row, column).astype(int)
        return (shown[..., 0] - shown[..., 2] > 60).mean(1)

    half = HEIGHT // 2
    assert warm(0, 1)[:10].min() == 1, "each map has the full range"
    assert warm(0, 1)[half:].max() == 0
    assert warm(0, 2)[-10:].min() == 1
    assert warm(0, 2)[:half].max() == 0
    assert warm(1, 1)[-10:].min() == 1
    white = (cell(drawn, 0, 2) == 255).all(2)
    ys, xs = np.nonzero(white)
    assert (ys.min(), ys.max()) == (60, 119), "the region's edge, three times as large"
    assert (xs.min(), xs.max()) == (30, 59)
    assert not white[61:119, 31:59].any()
    assert (cell(drawn, 1, 2) == 240).all(), "the second network has no such feature"


def test_a_feature_that_looks_nowhere(image):
    drawn = page([Row("one: a", True, image, {"head": np.zeros((4, 2))})], "", "{:.0%}")
    shown = cell(drawn, 0, 1)
    assert (shown == shown[..., :1]).all()
