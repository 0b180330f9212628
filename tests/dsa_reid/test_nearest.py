"""The nearest of a gallery: exact search against a slow oracle, FAISS against exact search."""

import builtins
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dsa_reid
from dsa_reid import ModelError


def features(count: int, seed: int, D: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_hand(query: np.ndarray, gallery: np.ndarray, top: int) -> list[list[int]]:
    """Sort the whole gallery for each query, ties by index."""
    rankings = []
    for one in query.astype(np.float64):
        far = [float(np.linalg.norm(one - row)) for row in gallery.astype(np.float64)]
        rankings.append(sorted(range(len(gallery)), key=lambda n: (far[n], n))[:top])
    return rankings


def test_by_hand() -> None:
    gallery = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]], np.float32)
    ranking = dsa_reid.search(np.array([[0.0, 1.0]], np.float32), gallery, top=2)
    assert ranking.indices.tolist() == [[1, 2]]
    assert ranking.distances.tolist() == [[1.0, 3.0]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 17), st.integers(0, 1000))
def test_blocks_give_the_same_as_sorting(count: int, top: int, block: int, seed: int) -> None:
    query, gallery = features(3, seed), features(count, seed + 1)
    ranking = dsa_reid.search(query, gallery, top, block)
    assert ranking.indices.tolist() == by_hand(query, gallery, top)
    expected = np.linalg.norm(query[:, None] - gallery[ranking.indices], axis=2)
    np.testing.assert_allclose(ranking.distances, expected, atol=1e-3)
    assert (np.diff(ranking.distances) >= 0).all()


def test_equal_rows_keep_the_order_of_the_gallery() -> None:
    gallery = np.repeat(features(1, 0), 9, axis=0)
    assert dsa_reid.search(gallery[:1], gallery, 9, block=4).indices.tolist() == [list(range(9))]


def test_of_too_many_equal_rows_the_first_are_returned() -> None:
    near, far = np.eye(2, 16, dtype=np.float32)[:, None]  # whole numbers, which are not rounded
    gallery = np.concatenate([np.repeat(rows, count, axis=0) for rows, count in ((far, 30), (near, 100), (far, 30))])
    for block in (4096, 50):
        assert dsa_reid.search(near, gallery, 5, block).indices.tolist() == [[30, 31, 32, 33, 34]]


def test_more_queries_than_are_searched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = features(10, 0), features(40, 1)
    whole = dsa_reid.search(query, gallery, 3, block=16)
    monkeypatch.setattr(sys.modules["dsa_reid.nearest"], "QUERIES", 4)  # the package gives the name to the function
    pieces = dsa_reid.search(query, gallery, 3, block=16)
    np.testing.assert_array_equal(pieces.indices, whole.indices)
    np.testing.assert_allclose(pieces.distances, whole.distances, atol=1e-3)
    assert dsa_reid.search(query[:0], gallery, 3).indices.shape == (0, 3)


def test_from_disk_and_in_half_precision(tmp_path: Path) -> None:
    query, gallery = features(4, 0), features(50, 1)
    np.save(tmp_path / "gallery.npy", gallery.astype(np.float16))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    ranking = dsa_reid.search(query, mapped, 5, block=7)
    assert ranking.indices.tolist() == by_hand(query, gallery.astype(np.float16), 5)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_faiss_gives_the_same_as_numpy(kind: str, tmp_path: Path) -> None:
    query, gallery = features(20, 0), features(1000, 1)
    exact = dsa_reid.search(query, gallery, 5)
    index = dsa_reid.build_index(gallery, kind, block=300)
    faiss.write_index(index, str(tmp_path / "gallery.faiss"))  # a file for any program that uses FAISS
    ranking = dsa_reid.search_index(faiss.read_index(str(tmp_path / "gallery.faiss")), query, 5)
    shared = [len({*a} & {*b}) / 5 for a, b in zip(exact.indices.tolist(), ranking.indices.tolist(), strict=True)]
    assert np.mean(shared) == 1 if kind == "flat" else np.mean(shared) > 0.8
    same = exact.indices == ranking.indices
    np.testing.assert_allclose(ranking.distances[same], exact.distances[same], atol=1e-3)


def test_a_gallery_smaller_than_top() -> None:
    query, gallery = features(2, 0), features(3, 1)
    index = dsa_reid.build_index(gallery, "ivf")
    for ranking in (dsa_reid.search(query, gallery, 10), dsa_reid.search_index(index, query, 10)):
        assert ranking.indices.shape == (2, 3)


@pytest.mark.parametrize("query", [features(2, 0, D=15), features(2, 0)[0]])
def test_features_of_other_dimensions(query: np.ndarray) -> None:
    with pytest.raises(ModelError, match="Embed both with the same model"):
        dsa_reid.search(query, features(3, 1))
    with pytest.raises(ModelError, match="of 16 dimensions"):
        dsa_reid.search_index(dsa_reid.build_index(features(3, 1)), query)


def test_top_0_is_refused() -> None:
    with pytest.raises(ModelError, match="top = 0"):
        dsa_reid.search(features(2, 0), features(3, 1), top=0)


def test_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: object) -> object:
        if name == "faiss":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install .*\[search\]"):
        dsa_reid.build_index(features(3, 1))


def test_the_deprecated_name_of_the_indices() -> None:
    ranking = dsa_reid.search(np.zeros((1, 2), np.float32), np.ones((3, 2), np.float32), top=2)
    assert ranking.places is ranking.indices


def test_tensors_as_arrays() -> None:
    query, gallery = features(4, 0), features(50, 1)
    expected = dsa_reid.search(query, gallery, 5)
    tensors = torch.from_numpy(query), torch.from_numpy(gallery).requires_grad_()
    for found in (
        dsa_reid.search(*tensors, 5, block=7),
        dsa_reid.search_index(dsa_reid.build_index(tensors[1], block=7), tensors[0], 5),
    ):
        assert found.indices.tolist() == expected.indices.tolist()
    assert dsa_reid.search(tensors[0].bfloat16(), gallery, 5).indices.shape == (4, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_by_row(value: float) -> None:
    fine, broken = features(50, 0), features(50, 1)
    broken[33, 2] = value
    index = dsa_reid.build_index(fine)
    with pytest.raises(ModelError, match="Row 33 of the queries holds NaN or infinity"):
        dsa_reid.search(broken, fine)
    with pytest.raises(ModelError, match="Row 33 of the queries holds NaN or infinity"):
        dsa_reid.search_index(index, torch.from_numpy(broken))
    with pytest.raises(ModelError, match="Row 33 of the gallery holds NaN or infinity"):
        dsa_reid.search(fine, broken, block=7)
    for kind in ("flat", "hnsw", "ivf"):
        with pytest.raises(ModelError, match="Row 33 of the gallery holds NaN or infinity"):
            dsa_reid.build_index(broken, kind, block=7)
