import weakref

import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_reid.preprocessing import Preprocessing
from dsa_train.evaluation import metrics, rankings, retrieval
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.retrieval import Side, camera_numbers, compare, read_retrieval


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_in_blocks_as_from_the_whole_matrix(tiny, distance):
    query, gallery = tiny.records("query"), tiny.records("gallery")
    rows = np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    config = EvaluateConfig(distance=distance, memory=3 * 4 * 12 / 2**30)  # three queries at a time
    sides = [
        Side(features, records, camera_numbers(records, config))
        for features, records in ((rows[:4], query), (rows[4:], gallery))
    ]
    comparison = compare(*sides, config, torch.device("cpu"), between_cameras=True)
    expected = metrics.evaluate(1 - rows[:4] @ rows[4:].T, *(s.pids for s in sides), *(s.camids for s in sides))
    assert comparison.result.mAP == pytest.approx(expected.mAP)
    np.testing.assert_array_equal(comparison.result.cmc, expected.cmc)
    assert set(comparison.pairs) == {(1, 2), (1, 3)}


def test_a_feature_that_is_not_a_number_is_refused(tiny):
    records = tiny.records("query")
    rows = np.full((4, 3), np.nan, np.float32)
    side = Side(rows, records, camera_numbers(records, EvaluateConfig()))
    with pytest.raises(TrainingError, match="are not numbers"):
        compare(side, side, EvaluateConfig(), torch.device("cpu"))


@pytest.mark.parametrize("protocol", ["whole", "single-shot"])
def test_only_one_block_is_in_memory(tiny, monkeypatch, protocol):
    """evaluate.memory is for one block: it is freed before the next is made."""
    config = EvaluateConfig(gallery=protocol)
    query, gallery = (
        Side(np.ones((len(records), 3), np.float32), records, camera_numbers(records, config))
        for records in (tiny.records("query"), tiny.records("gallery"))
    )

    def ranked(*_):
        alive = []
        for start in range(4):
            assert not [block for block in alive if block() is not None]
            made = [np.arange(12, dtype=np.float32)[None]]
            alive.append(weakref.ref(made[0]))
            yield slice(start, start + 1), made.pop()

    monkeypatch.setattr(retrieval, "ranked", ranked)
    compare(query, gallery, config, torch.device("cpu"), between_cameras=True)
    monkeypatch.setattr(rankings, "ranked", ranked)
    assert len(rankings.rankings(query, gallery, config, torch.device("cpu"), length=3)) == 4


def test_splits_are_kept_apart(tiny):
    pictures = read_retrieval(tiny.root, tiny.records(), Preprocessing(64, 32))
    assert {record.split for record in pictures.query.records} == {"query"}
    assert {record.split for record in pictures.gallery.records} == {"gallery"}
    assert (len(pictures.query), len(pictures.gallery)) == (4, 12)
