import numpy as np
import pytest
import torch

from dsa_reid.preprocessing import Preprocessing
from train import metrics, retrieval
from train.config import EvaluateConfig
from train.retrieval import rank, read_retrieval


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_in_pieces_as_from_the_whole_matrix(tiny, monkeypatch, distance):
    monkeypatch.setattr(retrieval, "QUERIES", 3)
    pictures = read_retrieval(tiny.root, tiny.records("query", "gallery"), Preprocessing(64, 32))
    generator = torch.Generator().manual_seed(0)
    query, gallery = (
        torch.nn.functional.normalize(torch.randn(len(part), 7, generator=generator))
        for part in (pictures.query, pictures.gallery)
    )
    found = metrics.measure(rank(query, gallery, pictures, EvaluateConfig(distance=distance)))
    identities = [
        np.array([getattr(record, name) for record in part.records])
        for name in ("pid", "camid")
        for part in (pictures.query, pictures.gallery)
    ]
    expected = metrics.evaluate(1 - query @ gallery.T, *identities)
    assert found.mAP == pytest.approx(expected.mAP)
    np.testing.assert_array_equal(found.cmc, expected.cmc)


def test_splits_are_kept_apart(tiny):
    pictures = read_retrieval(tiny.root, tiny.records(), Preprocessing(64, 32))
    assert {record.split for record in pictures.query.records} == {"query"}
    assert {record.split for record in pictures.gallery.records} == {"gallery"}
    assert (len(pictures.query), len(pictures.gallery)) == (4, 12)
