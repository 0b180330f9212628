import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_train.evaluation import rerank
from dsa_train.evaluation.config import RerankConfig
from dsa_train.evaluation.distmat import blocks
from dsa_train.evaluation.rerank import reranked

CPU = torch.device("cpu")


def features(seed: int, N: int, D: int = 6) -> np.ndarray:
    """People are clusters that overlap a little; all of length one."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(N // 5 + 1, D))[generator.integers(0, N // 5 + 1, N)]
    rows = centres + 0.4 * generator.normal(size=(N, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_definition(query, gallery, k1, k2, weight):
    """The paper's equations 3 to 12 over whole matrices, set by set, in float64."""
    everything = np.concatenate([query, gallery]).astype(np.float64)
    N, Q = len(everything), len(query)
    squared = ((everything[:, None] - everything) ** 2).sum(2)
    squared /= squared.max(1, keepdims=True)
    rank = squared.argsort(axis=1)

    def nearest(p, k):
        return set(rank[p, : k + 1])

    def mutual(p, k):
        return {g for g in nearest(p, k) if p in nearest(g, k)}

    encoding = np.zeros((N, N))
    for p in range(N):
        extended = own = mutual(p, k1)
        for q in own:
            half = mutual(q, round(k1 / 2))
            if len(own & half) > 2 / 3 * len(half):
                extended = extended | half
        members = sorted(extended)
        encoding[p, members] = np.exp(-squared[p, members])
    encoding /= encoding.sum(1, keepdims=True)
    encoding = np.array([encoding[rank[p, :k2]].mean(0) for p in range(N)])
    result = np.empty((Q, N - Q))
    for p in range(Q):
        for g in range(Q, N):
            least, most = np.minimum(encoding[p], encoding[g]).sum(), np.maximum(encoding[p], encoding[g]).sum()
            result[p, g - Q] = (1 - weight) * (1 - least / most) + weight * squared[p, g]
    return result


@pytest.mark.parametrize(
    ("seed", "k1", "k2", "weight"), [(0, 20, 6, 0.3), (1, 7, 3, 0.0), (2, 10, 1, 0.5), (3, 5, 9, 1)]
)
def test_agrees_with_the_papers_equations(monkeypatch, seed, k1, k2, weight):
    monkeypatch.setattr(rerank, "ROWS", 17)
    everything = features(seed, 90)
    query, gallery = everything[:20], everything[20:]
    settings = RerankConfig(on=True, k1=k1, k2=k2, weight=weight)
    parts = list(reranked(query, gallery, settings, "euclidean", CPU, memory=7 * 12 * 70 / 2**30))
    assert [part.stop - part.start for part, _ in parts] == [7, 7, 6]
    found = np.concatenate([distmat for _, distmat in parts])
    np.testing.assert_allclose(found, by_definition(query, gallery, k1, k2, weight), atol=1e-5)


def test_the_first_distance_alone_leaves_the_ranking():
    everything = features(5, 60)
    query, gallery = everything[:10], everything[10:]
    settings = RerankConfig(on=True, weight=1)
    ((_, found),) = reranked(query, gallery, settings, "euclidean", CPU, memory=1)
    ((_, plain),) = blocks(query, gallery, "euclidean", CPU, memory=1)
    np.testing.assert_array_equal(found.argsort(axis=1), plain.argsort(axis=1))


def test_a_gallery_smaller_than_the_neighbourhood():
    everything = features(6, 8)
    ((_, found),) = reranked(everything[:2], everything[2:], RerankConfig(on=True), "cosine", CPU, memory=1)
    assert found.shape == (2, 6)
    assert np.isfinite(found).all()


def test_features_that_do_not_fit():
    with pytest.raises(TrainingError, match="4 dimensions, gallery features 5"):
        next(reranked(np.ones((1, 4)), np.ones((2, 5)), RerankConfig(on=True), "euclidean", CPU, memory=1))
