import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_train.evaluation import distmat
from dsa_train.evaluation.distmat import blocks

CPU = torch.device("cpu")


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_in_blocks_as_the_whole_matrix(monkeypatch, tmp_path, metric, where):
    monkeypatch.setattr(distmat, "GALLERY", 4)
    generator = np.random.default_rng(0)
    query, gallery = (generator.normal(size=(n, 5)).astype(np.float32) for n in (7, 10))
    rows = gallery
    if where == "disk":
        np.save(tmp_path / "gallery.npy", gallery)
        rows = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    parts = list(blocks(query, rows, metric, CPU, memory=3 * 4 * 10 / 2**30))
    assert [part for part, _ in parts] == [slice(0, 3), slice(3, 6), slice(6, 7)]
    whole = np.concatenate([found for _, found in parts])
    if metric == "euclidean":
        expected = np.linalg.norm(query[:, None] - gallery, axis=2)
    else:
        lengths = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(gallery, axis=1)
        expected = 1 - query @ gallery.T / lengths
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_features_that_cannot_be_compared_are_refused():
    def first(query, gallery):
        return next(blocks(query, gallery, "euclidean", CPU, memory=1))

    rows = np.ones((2, 3), np.float32)
    with pytest.raises(TrainingError, match="0 gallery images"):
        first(rows, rows[:0])
    with pytest.raises(TrainingError, match="3 dimensions, gallery features 4"):
        first(rows, np.ones((2, 4), np.float32))
    with pytest.raises(TrainingError, match="1 queries, or of gallery images, are not numbers"):
        first(np.array([[np.nan, 1, 1], [1, 1, 1]], np.float32), rows)
