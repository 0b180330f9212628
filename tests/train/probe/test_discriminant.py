"""The discriminant analysis against its definition, written as loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_train.probe.discriminant import projected, projection, scatter


def made_up(seed: int, D: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat([7, 3, 11, 5], [4, 6, 3, 5])
    centres = {label: rng.normal(size=D) for label in (3, 5, 7, 11)}
    return np.array([centres[label] + 0.5 * rng.normal(size=D) for label in labels]), labels


def test_scatter_is_the_sum_over_images() -> None:
    X, labels = made_up(0)
    within, between = np.zeros((5, 5)), np.zeros((5, 5))
    for x, label in zip(X, labels, strict=True):
        mean = X[labels == label].mean(0)
        within += np.outer(x - mean, x - mean) / len(X)
        between += np.outer(mean - X.mean(0), mean - X.mean(0)) / len(X)
    found = scatter(X, labels)
    np.testing.assert_allclose(found.within, within, atol=1e-12)
    np.testing.assert_allclose(found.between, between, atol=1e-12)
    np.testing.assert_allclose(found.mean, X.mean(0))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.03, 1.0]))
def test_directions_solve_the_eigenvalue_problem_and_are_scaled(seed: int, ridge: float) -> None:
    statistics = scatter(*made_up(seed))
    W = statistics.within + ridge * np.diag(statistics.within).mean() * np.eye(5)
    for column in projection(statistics, ridge, 3).T:
        # w with w' W w = 1 has the ratio r = w' S_b w; scaled by s = r / (1 + r) it has the norm s in W
        s = np.sqrt(column @ W @ column)
        r = column @ statistics.between @ column / (s * s)
        assert s == pytest.approx(r / (1 + r), rel=1e-6)
        np.testing.assert_allclose(statistics.between @ column, r * (W @ column), atol=1e-9)


def test_persons_that_noise_hides_are_near_each_other_afterwards() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(40), 6)
    signal = rng.normal(size=(40, 2))[labels]
    X = np.concatenate([signal, 20 * rng.normal(size=(240, 1))], axis=1) @ rng.normal(size=(3, 3))

    def right(features: np.ndarray) -> float:
        similarity = features @ features.T
        np.fill_diagonal(similarity, -2)
        return float((labels[similarity.argmax(1)] == labels).mean())

    statistics = scatter(X, labels)
    before = projected(X, X.mean(0), np.eye(3))
    assert right(before) < 0.3
    assert right(projected(X, statistics.mean, projection(statistics, 1e-6, 2))) > 0.95


def test_features_have_length_one_and_no_more_dimensions_than_there_are() -> None:
    X, labels = made_up(3)
    statistics = scatter(X, labels)
    found = projected(X, statistics.mean, projection(statistics, 0.1, 256))
    assert found.shape == (18, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_features_that_are_all_the_same() -> None:
    statistics = scatter(np.ones((6, 3)), np.array([1, 1, 2, 2, 3, 3]))
    assert np.isfinite(projection(statistics, 0.1, 2)).all()
