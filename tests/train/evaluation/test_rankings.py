import dataclasses

import numpy as np
import pytest
import torch

from dsa_app.errors import DatasetError
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.metrics import evaluate
from dsa_train.evaluation.rankings import (
    BORDER,
    CAPTION,
    GAP,
    RIGHT,
    SAME,
    WIDTH,
    WRONG,
    best_and_worst,
    chosen,
    draw,
    rankings,
)
from dsa_train.evaluation.retrieval import Side, camera_numbers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def found(tiny):
    """Rankings of the tiny dataset by features on a line: query n at n, the gallery at places of its own."""
    query, gallery = tiny.records("query"), tiny.records("gallery")
    gallery = [dataclasses.replace(record, camid=1) if n == 0 else record for n, record in enumerate(gallery)]
    rows = np.arange(4, dtype=np.float32)[:, None], np.linspace(-0.1, 3.3, 12, dtype=np.float32)[:, None]
    sides = [
        Side(features, records, camera_numbers(records, EvaluateConfig()))
        for features, records in zip(rows, (query, gallery), strict=True)
    ]
    distmat = np.abs(rows[0] - rows[1].T)
    expected = evaluate(distmat, *(side.pids for side in sides), *(side.camids for side in sides))
    return rankings(*sides, EvaluateConfig(), CPU, length=5), expected, distmat, gallery


def test_the_nearest_in_their_order(found):
    ranked, expected, distmat, gallery = found
    np.testing.assert_allclose([one.ap for one in ranked], expected.ap)
    for one, row in zip(ranked, distmat, strict=True):
        assert [answer.record for answer in one.answers] == [gallery[n] for n in np.argsort(row)[:5]]
        assert all(answer.right == (answer.record.pid == one.query.pid) for answer in one.answers)
    first = ranked[0].answers
    assert [answer.rank for answer in first] == [None, 1, 2, 3, 4]  # the first is of the query's own camera


@pytest.mark.parametrize("length", [1, 3, 12])
def test_of_equals_the_wrong_are_drawn_first_as_they_are_counted(tiny, length):
    sides = [
        Side(np.ones((len(records), 2), np.float32), records, camera_numbers(records, EvaluateConfig()))
        for records in (tiny.records("query"), tiny.records("gallery"))
    ]
    for one in rankings(*sides, EvaluateConfig(), CPU, length):
        assert [answer.right for answer in one.answers] == [n >= 9 for n in range(length)]  # three of twelve are right


def test_best_and_worst(found):
    ranked, *_ = found
    best, worst = best_and_worst(ranked, 2)
    aps = sorted(one.ap for one in ranked)
    assert [one.ap for one in worst] == aps[:2]
    assert [one.ap for one in best] == aps[:-3:-1]


def test_a_key_that_no_query_has(found):
    ranked, *_ = found
    key = ranked[1].query.key
    assert chosen(ranked, [key]) == [ranked[1]]
    with pytest.raises(DatasetError, match=f"Did you mean '{key}'"):
        chosen(ranked, [key.replace("query", "quary")])


def test_frames_tell_right_wrong_and_own_camera(tiny, found):
    ranked, *_ = found
    page = draw(ranked, tiny.root)
    for column, answer in enumerate(ranked[0].answers, start=1):
        colour = SAME if answer.rank is None else RIGHT if answer.right else WRONG
        x = 2 * GAP + column * (WIDTH + 2 * BORDER + GAP)
        assert tuple(page[CAPTION + GAP, x]) == colour
    assert page.shape[2] == 3
