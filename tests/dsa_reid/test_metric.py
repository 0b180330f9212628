"""Distances against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsa_reid import ModelError, Unseen, distances, join, usual_distances, visible_distances
from dsa_reid.metric import SAMPLE, evenly_spread


def test_by_hand() -> None:
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    b = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-3.0, -4.0]])
    torch.testing.assert_close(distances(a, b), torch.tensor([[5.0, 1.0, 5.0], [0.0, 18**0.5, 10.0]]))
    expected = torch.tensor([[0.0, 0.2, 2.0]])
    torch.testing.assert_close(distances(a[1:], b, "cosine"), expected, atol=1e-6, rtol=0)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 17), st.integers(0, 2**31))
def test_against_a_loop(q: int, g: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(q, d, dtype=torch.float64, generator=generator)
    b = torch.randn(g, d, dtype=torch.float64, generator=generator)
    euclidean, cosine = distances(a, b), distances(a, b, "cosine")
    for i in range(q):
        for j in range(g):
            assert euclidean[i, j].item() == pytest.approx((a[i] - b[j]).norm().item(), abs=1e-7)
            angle = (a[i] @ b[j] / a[i].norm() / b[j].norm()).item()
            assert cosine[i, j].item() == pytest.approx(1 - angle, abs=1e-9)
    pieces = torch.cat([distances(piece, b) for piece in a.split(2)])
    torch.testing.assert_close(pieces, euclidean, atol=1e-7, rtol=0)


def test_arguments_are_not_modified() -> None:
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    before = a.clone(), b.clone()
    distances(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_features_of_other_dimensions_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\(2, 3\) and \(2, 4\)"):
        distances(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ModelError, match="'manhattan' is invalid"):
        distances(torch.zeros(2, 3), torch.zeros(2, 3), "manhattan")  # type: ignore[arg-type]


def test_joined_features_have_length_one_each() -> None:
    f_global, f_local = torch.tensor([[3.0, 4.0]]), torch.full((1, 8, 2), 2.0)
    joined = join(f_global, None, f_local)
    torch.testing.assert_close(joined, torch.tensor([[0.6, 0.8, *[0.25] * 16]]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_arrays_as_tensors(dtype: str) -> None:
    a, b = (np.random.default_rng(n).normal(size=(3 + n, 8)).astype(dtype) for n in (0, 1))
    expected = np.linalg.norm(a[:, None].astype(float) - b.astype(float), axis=2)
    a.setflags(write=False)
    for one, other in ((a, b), (a, torch.from_numpy(b)), (torch.from_numpy(a.copy()), b), (a, b[:, ::-1][:, ::-1])):
        found = distances(one, other)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [[[1.0]], "a.npy", np.array(["a"]), np.array([[1j]]), None], ids=str)
def test_what_are_no_features(wrong: object) -> None:
    with pytest.raises(ModelError, match=r"Features of type .* cannot be compared"):
        distances(wrong, torch.zeros(1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_features_that_are_not_finite_are_refused_by_row(value: float, metric: str) -> None:
    fine, broken = torch.ones(5, 4), torch.ones(5, 4)
    broken[3, 2] = value
    with pytest.raises(ModelError, match="Row 3 of the first features holds NaN or infinity"):
        distances(broken, fine, metric)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="Row 3 of the second features holds NaN or infinity"):
        distances(fine, broken.numpy(), metric)  # type: ignore[arg-type]


def test_large_numbers_are_finite() -> None:
    rows = torch.full((2, 4), 3e38)
    assert torch.isfinite(distances(rows.double(), rows.double())).all()
    assert distances(rows, rows).shape == (2, 2)


PARTS = {"global": 5, "local": 16, "visibility": 8}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_visible_distances_by_a_slow_loop(share: float) -> None:
    """What is not seen counts at its usual distance by a share, which may be 0."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(n, 29, generator=generator) for n in (3, 4))
    a[1, -4:] = 0
    usual = usual_distances(b, PARTS)
    found = visible_distances(a, b.numpy(), PARTS, Unseen(share, usual) if share else None)
    for i in range(3):
        for j in range(4):
            total, weights = _apart(a[i, :5], b[j, :5]), 1.0
            for region in range(8):
                weight = (a[i, 21 + region] * b[j, 21 + region]).sqrt()
                columns = slice(5 + 2 * region, 7 + 2 * region)
                total += weight * _apart(a[i, columns], b[j, columns]) + share * (1 - weight) * usual[region]
                weights += weight + share * (1 - weight)
            torch.testing.assert_close(found[i, j], total / weights, atol=1e-4, rtol=1e-4)
    everything = b.clone()
    everything[:, -8:] = 1
    plain = visible_distances(everything, everything, PARTS)
    torch.testing.assert_close(visible_distances(everything, everything, PARTS, Unseen(share, usual)), plain)


def test_usual_distances_are_those_of_every_two_images() -> None:
    rows = torch.rand(6, 29, generator=torch.Generator().manual_seed(2))
    for region, found in enumerate(usual_distances(rows.numpy(), PARTS)):
        columns = slice(5 + 2 * region, 7 + 2 * region)
        apart = [_apart(rows[i, columns], rows[j, columns]) for i in range(6) for j in range(6) if i != j]
        torch.testing.assert_close(found, torch.stack(apart).mean(), atol=1e-4, rtol=1e-4)
    for few in (0, 1):
        with pytest.raises(ModelError, match=f"A gallery of {few} images has no usual distances"):
            usual_distances(rows[:few], PARTS)
    assert evenly_spread(5) == [0, 1, 2, 3, 4]
    spread = evenly_spread(2500)
    assert (len(spread), spread[0], spread[-1]) == (SAMPLE, 0, 2497)


def test_usual_distances_of_other_features_are_refused() -> None:
    with pytest.raises(ModelError, match="have no visibility of regions"):
        usual_distances(torch.ones(3, 21), {"global": 5, "local": 16})
    broken = torch.ones(3, 29)
    broken[2, 0] = torch.nan
    with pytest.raises(ModelError, match="Row 2 of the gallery holds NaN"):
        usual_distances(broken, PARTS)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "half", None], ids=str)
def test_a_share_that_is_none_is_refused(share: object) -> None:
    a = torch.ones(1, 29)
    with pytest.raises(ModelError, match=r"Unseen.share = .* expected a number from 0 to 1"):
        visible_distances(a, a, PARTS, Unseen(share, torch.ones(8)))  # type: ignore[arg-type]


@pytest.mark.parametrize("usual", [[1.0] * 7, [1.0] * 9, [-1.0] * 8, [np.nan] * 8], ids=["7", "9", "negative", "NaN"])
def test_other_than_eight_usual_distances_are_refused(usual: list[float]) -> None:
    a = torch.ones(1, 29)
    with pytest.raises(ModelError, match="expected 8 distances, one a region, 0 or more"):
        visible_distances(a, a, PARTS, Unseen(0.5, np.array(usual)))  # type: ignore[arg-type]
    right = visible_distances(a, a, PARTS, Unseen(0.5, np.full(8, 1.0)))  # type: ignore[arg-type]
    assert right.isfinite().all()


def _apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one / one.norm() - other / other.norm()).norm()


def test_what_one_image_does_not_show_does_not_count() -> None:
    a = torch.rand(1, 29, generator=torch.Generator().manual_seed(1))
    a[:, 21:] = 1
    b = a.clone()
    b[:, 7:9] = -b[:, 7:9]
    assert visible_distances(a, b, PARTS) > 0.2
    b[:, 21 + 1] = 0
    torch.testing.assert_close(visible_distances(a, b, PARTS), torch.zeros(1, 1), atol=1e-3, rtol=0)
    without_global = {"local": 16, "visibility": 8}
    assert visible_distances(a[:, 5:], b[:, 5:], without_global) < 1e-3


def test_features_without_visibility_are_refused() -> None:
    with pytest.raises(ModelError, match="have no visibility of regions"):
        visible_distances(torch.ones(1, 21), torch.ones(1, 21), {"global": 5, "local": 16})
    with pytest.raises(ModelError, match=r"do not have the parts .* with visibility"):
        visible_distances(torch.ones(1, 21), torch.ones(1, 29), PARTS)
