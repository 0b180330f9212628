"""Search by what both images show: exact against loops, the bound of the index, abstention, and the words for it."""

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_reid import ModelError, VisibleRows

PARTS = {"global": 6, "local": 16, "visibility": 8}


def rows(count: int, seed: int, parts: dict[str, int] = PARTS, people: int = 0) -> np.ndarray:
    """Return unit global and local parts with visibilities, (count, D); near one of `people` centres if given."""
    rng = np.random.default_rng(seed)
    whole, local = parts.get("global", 0), parts["local"]
    features = rng.normal(size=(count, whole + local))
    if people:
        features = (
            0.15 * features + np.random.default_rng(99).normal(size=(people, whole + local))[np.arange(count) % people]
        )
    out = [features[:, :whole] / np.linalg.norm(features[:, :whole], axis=1, keepdims=True)] if whole else []
    out += [features[:, whole:] / np.linalg.norm(features[:, whole:], axis=1, keepdims=True)]
    return np.concatenate([*out, rng.uniform(size=(count, 8)) ** 2], 1).astype(np.float32)


@pytest.mark.parametrize("block", [3, 7, 100])
@pytest.mark.parametrize("least", [0.0, 0.2, 0.9])
def test_exact_search_against_the_whole_matrix(block: int, least: float) -> None:
    query, gallery = rows(5, 0), rows(23, 1)
    distmat = dsa_reid.visible_distances(query, gallery, PARTS).numpy()
    seen = np.minimum(query[:, None, -8:], gallery[None, :, -8:]).mean(2)
    ranking = dsa_reid.visible_search(query, gallery, PARTS, top=6, least=least, block=block)
    for row in range(5):
        answers = [int(n) for n in np.argsort(distmat[row], kind="stable") if seen[row, n] >= least][:6]
        assert ranking.indices[row].tolist() == answers + [-1] * (6 - len(answers))
        np.testing.assert_allclose(ranking.distances[row, : len(answers)], distmat[row, answers], atol=1e-6)
        assert np.isinf(ranking.distances[row, len(answers) :]).all()


@pytest.mark.parametrize("parts", [PARTS, {"local": 16, "visibility": 8}])
def test_the_bound_is_below_every_distance(parts: dict[str, int]) -> None:
    query, gallery = rows(20, 2, parts), rows(300, 3, parts)
    query[:3, -8:], gallery[:50, -8:], gallery[50:90, -8:] = 1, 1, 0
    vectors = VisibleRows(gallery, parts)
    x, y = vectors.queries(torch.from_numpy(query)).numpy(), vectors[0:300]
    assert y.shape == vectors.shape
    np.testing.assert_allclose(np.square(y).sum(1), vectors.longest, rtol=1e-5)
    squared = np.square(x[:, None].astype(np.float64) - y[None]).sum(2)
    distmat = dsa_reid.visible_distances(query, gallery, parts).numpy()
    for column in range(300):
        bound = vectors.least(torch.from_numpy(query), torch.from_numpy(squared[:, column])).numpy()
        assert (bound <= distmat[:, column]).all()
    assert (distmat.min() < 2) & (squared.max() > 0)


def test_what_an_index_proves_is_what_exact_search_finds() -> None:
    gallery, query = rows(2000, 4, people=40), rows(40, 5, people=40)
    query[:, -8:], gallery[:, -8:] = 0.9, np.maximum(gallery[:, -8:], 0.3)
    exact = dsa_reid.visible_search(query, gallery, PARTS, top=5)
    index = dsa_reid.build_index(VisibleRows(gallery, PARTS), "flat")
    found = dsa_reid.search_visible_index(index, query, gallery, PARTS, top=5, candidates=200)
    assert found.proved.mean() > 0
    for row in np.flatnonzero(found.proved):
        np.testing.assert_allclose(found.ranking.distances[row], exact.distances[row], atol=1e-4)
    everything = dsa_reid.search_visible_index(index, query, gallery, PARTS, top=5, candidates=2000)
    assert everything.proved.all()
    np.testing.assert_allclose(everything.ranking.distances, exact.distances, atol=1e-4)
    hidden = dsa_reid.search_visible_index(index, query, gallery, PARTS, top=5, least=0.99)
    assert (hidden.ranking.indices == -1).all()
    graph = dsa_reid.build_index(VisibleRows(gallery, PARTS), "hnsw")
    assert not dsa_reid.search_visible_index(graph, query, gallery, PARTS, top=5).proved.any()


def test_what_was_compared_in_words() -> None:
    assert dsa_reid.REGION_NAMES[0] == "torso"
    seen = dict.fromkeys(dsa_reid.REGION_NAMES, 0.0)
    assert dsa_reid.describe(list(seen.values())) == "no region is seen well in both; 0% of the body was seen in both"
    seen |= {"torso": 0.9, "upper legs": 0.8, "lower legs": 0.5, "head": 1.0, "upper arms": 0.6}
    assert dsa_reid.describe(list(seen.values())) == (
        "compared by torso, legs, upper arms and head; 48% of the body was seen in both"
    )
    query, gallery = rows(2, 6), rows(3, 7)
    both = dsa_reid.seen_in_both(query, gallery, PARTS)
    assert both.shape == (2, 3, 8)
    assert both[1, 2].tolist() == np.minimum(query[1, -8:], gallery[2, -8:]).tolist()


def test_features_without_visibility_are_refused() -> None:
    query = rows(2, 8)[:, :22]
    parts = {"global": 6, "local": 16}
    for call in (
        lambda: dsa_reid.seen_in_both(query, query, parts),
        lambda: dsa_reid.visible_search(query, query, parts),
        lambda: dsa_reid.visible_search(query, query, PARTS),
        lambda: VisibleRows(query, parts)[0:1],
    ):
        with pytest.raises(ModelError, match=r"no visibility|do not have the parts"):
            call()
    with pytest.raises(ModelError, match="top = 0 is invalid"):
        dsa_reid.visible_search(rows(2, 8), rows(2, 8), PARTS, top=0)
