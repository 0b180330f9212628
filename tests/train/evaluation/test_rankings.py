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
    CORRECT,
    FALSE,
    GAP,
    HEIGHT,
    LEFT_OUT,
    LINES,
    WIDTH,
    _named,
    best_and_worst,
    page,
    rankings,
    select,
)
from dsa_train.evaluation.retrieval import Side, camera_numbers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ranked(tiny):
    """Rankings of the tiny dataset by features on a line: query n at n, the gallery evenly spread."""
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


def test_the_nearest_in_their_order(ranked):
    results, expected, distmat, gallery = ranked
    np.testing.assert_allclose([one.ap for one in results], expected.ap)
    for one, row in zip(results, distmat, strict=True):
        assert [hit.record for hit in one.hits] == [gallery[n] for n in np.argsort(row)[:5]]
        assert all(hit.correct == (hit.record.pid == one.query.pid) for hit in one.hits)
    assert [hit.rank for hit in results[0].hits] == [None, 1, 2, 3, 4]  # the first is of the query's own camera


@pytest.mark.parametrize("length", [1, 3, 12])
def test_at_ties_false_matches_are_shown_first_as_they_are_counted(tiny, length):
    sides = [
        Side(np.ones((len(records), 2), np.float32), records, camera_numbers(records, EvaluateConfig()))
        for records in (tiny.records("query"), tiny.records("gallery"))
    ]
    for one in rankings(*sides, EvaluateConfig(), CPU, length):
        assert [hit.correct for hit in one.hits] == [n >= 9 for n in range(length)]  # three of twelve are correct


def test_best_and_worst(ranked):
    results, *_ = ranked
    best, worst = best_and_worst(results, 2)
    aps = sorted(one.ap for one in results)
    assert [one.ap for one in worst] == aps[:2]
    assert [one.ap for one in best] == aps[:-3:-1]


def test_a_key_that_no_query_has(ranked):
    results, *_ = ranked
    key = results[1].query.key
    assert select(results, [key]) == [results[1]]
    with pytest.raises(DatasetError, match=f"Did you mean '{key}'"):
        select(results, [key.replace("query", "quary")])


def test_frames_show_correct_false_and_left_out(tiny, ranked):
    results, *_ = ranked
    image = page(results, tiny.root)
    for column, hit in enumerate(results[0].hits, start=1):
        colour = LEFT_OUT if hit.rank is None else CORRECT if hit.correct else FALSE
        x = 2 * GAP + column * (WIDTH + 2 * BORDER + GAP)
        assert tuple(image[CAPTION + GAP, x]) == colour
    assert image.shape[2] == 3


def test_a_page_has_the_end_of_each_files_name(ranked, tiny):
    """Two lines of twelve letters below rank and person; pages differ where names differ."""
    results, *_ = ranked
    image = page(results[:1], tiny.root)
    below = CAPTION + GAP + HEIGHT + 2 * BORDER + 2 * CAPTION
    names = image[below : below + 2 * CAPTION]
    step = WIDTH + 2 * BORDER + GAP
    assert all((names[:, x : x + step] < 128).any() for x in range(3 * GAP, 5 * step, step))
    assert len(image) == CAPTION + GAP + HEIGHT + 2 * BORDER + LINES * CAPTION + GAP
    assert _named("bounding_box_test/0138_c2s1_000559_01.jpg") == ["test/0138_c2", "s1_000559_01"]
    assert _named("a.jpg") == ["a", ""]
