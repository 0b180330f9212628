"""The person of a crop: score × area × centrality, by hand and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densepose_extract.select import area, centrality, choose

CENTRE = [16.0, 8.0, 48.0, 120.0]  # in an image of 128 × 64
EDGE = [40.0, 0.0, 64.0, 128.0]


def test_no_box_is_none() -> None:
    assert choose(np.zeros((0, 4)), np.zeros(0), 128, 64) is None


def test_bystander_at_the_edge_scores_higher_and_is_not_chosen() -> None:
    assert choose(np.array([EDGE, CENTRE]), np.array([0.99, 0.7]), 128, 64) == 1


def test_of_equal_boxes_the_better_score_is_chosen() -> None:
    assert choose(np.array([CENTRE, CENTRE, CENTRE]), np.array([0.6, 0.8, 0.8]), 128, 64) == 1


def test_a_small_central_box_yields_to_the_person() -> None:
    bag = [24.0, 56.0, 40.0, 72.0]
    assert choose(np.array([bag, CENTRE]), np.array([0.95, 0.6]), 128, 64) == 1


def test_confidences_of_maps_count_where_they_are_known() -> None:
    boxes, scores = np.array([CENTRE, CENTRE]), np.array([0.9, 0.8])
    assert choose(boxes, scores, 128, 64, np.array([0.5, 0.9])) == 1
    assert choose(boxes, scores, 128, 64, np.array([0.9, 0.9])) == 0
    assert choose(boxes, scores, 128, 64, np.array([np.nan, 0.9])) == 0


def test_measures_by_hand() -> None:
    boxes = np.array([CENTRE, EDGE, [0, 0, 0, 128], [-64, 0, 64, 128]])
    assert area(boxes, 128, 64) == pytest.approx([32 * 112 / (128 * 64), 24 / 64, 0, 1])
    assert centrality(boxes, 128, 64) == pytest.approx([1, 1 - 20 / 32, 0, 0])


@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_choice_is_the_greatest_product_and_survives_a_mirror(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * [64, 128]
    boxes = corners.reshape(count, 4)  # x0, y0, x1, y1
    scores = rng.uniform(0.1, 1, count)
    index = choose(boxes, scores, 128, 64)
    values = []
    for (x0, y0, x1, y1), score in zip(boxes, scores, strict=True):
        share = (x1 - x0) * (y1 - y0) / (64 * 128)
        values.append(score * share * (1 - abs((x0 + x1) / 2 - 32) / 32) * (1 - abs((y0 + y1) / 2 - 64) / 64))
    assert index == int(np.argmax(values))
    mirrored = boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [64, 0, 64, 0]
    assert choose(mirrored, scores, 128, 64) == index
