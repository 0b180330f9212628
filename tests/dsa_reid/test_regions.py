"""Distances by body region: an example by hand, a slow oracle, and what has no regions."""

import pytest
import torch
import torch.nn.functional as F

import dsa_reid
from dsa_reid import ModelError

PARTS = {"global": 5, "local": 24}


def rows(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    whole, local = torch.randn(count, 5, generator=generator), torch.randn(count, 8, 3, generator=generator)
    return dsa_reid.join(whole, local)


def test_eight_names() -> None:
    assert len(dsa_reid.REGION_NAMES) == 8


def test_by_hand() -> None:
    """Two people who differ in the region "feet" alone, by a right angle."""
    one = torch.tensor([[1.0, 0.0]] * 8)
    other = one.clone()
    other[2] = torch.tensor([0.0, 3.0])  # lengths do not count
    distances = dsa_reid.region_distances(one.reshape(1, 16), other.reshape(1, 16), {"local": 16})
    expected = torch.zeros(8)
    expected[dsa_reid.REGION_NAMES.index("feet")] = 2**0.5
    torch.testing.assert_close(distances[0, 0], expected)


def test_against_a_loop() -> None:
    a, b = rows(3, 0), rows(4, 1)
    distances = dsa_reid.region_distances(a, b, PARTS)
    assert distances.shape == (3, 4, 8)
    for q in range(3):
        for g in range(4):
            for region in range(8):
                columns = slice(5 + 3 * region, 8 + 3 * region)
                expected = (F.normalize(a[q, columns], dim=0) - F.normalize(b[g, columns], dim=0)).norm()
                torch.testing.assert_close(distances[q, g, region], expected, atol=1e-3, rtol=0)


def test_agreement_is_1_at_the_nearest_and_0_at_the_median_of_the_others() -> None:
    query, others = rows(1, 0)[0], rows(31, 2)
    usual = dsa_reid.region_distances(query[None], others, PARTS)[0]  # (31, 8)
    explained = dsa_reid.explain(query, others, others, PARTS)
    for region in range(8):
        order = usual[:, region].argsort()
        agreement = explained.agreement[order, region]
        assert agreement[0] == 1  # the nearest itself
        assert agreement[15] == 0  # the middle one of 31
        assert (agreement.diff() <= 0).all()
        assert agreement[-1] < 0
    itself = dsa_reid.explain(query, query[None], others, PARTS)
    assert (itself.agreement == 1).all()


def test_the_only_other_image_agrees() -> None:
    query, other = rows(2, 0)
    assert (dsa_reid.explain(query, other[None], other[None], PARTS).agreement == 1).all()


def test_features_without_regions() -> None:
    with pytest.raises(ModelError, match="no local part"):
        dsa_reid.region_distances(torch.ones(1, 5), torch.ones(1, 5), {"global": 5})
    with pytest.raises(ModelError, match="do not have the parts"):
        dsa_reid.region_distances(torch.ones(1, 28), torch.ones(1, 28), PARTS)


def test_arrays_as_tensors() -> None:
    a, b = rows(3, 0), rows(6, 1)
    expected = dsa_reid.region_distances(a, b, PARTS)
    assert torch.equal(dsa_reid.region_distances(a.numpy(), b.numpy(), PARTS), expected)
    explained = dsa_reid.explain(a[0].numpy(), b[:2].numpy(), b.numpy(), PARTS)
    for ours, theirs in zip(explained, dsa_reid.explain(a[0], b[:2], b, PARTS), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused_by_row(value: float) -> None:
    fine, broken = rows(5, 0), rows(5, 1)
    broken[3, 7] = value
    with pytest.raises(ModelError, match="Row 3 of the first features holds NaN or infinity"):
        dsa_reid.region_distances(broken, fine, PARTS)
    with pytest.raises(ModelError, match="Row 3 of the second features holds NaN or infinity"):
        dsa_reid.region_distances(fine, broken, PARTS)
    with pytest.raises(ModelError, match="holds NaN or infinity"):
        dsa_reid.explain(fine[0], fine, broken, PARTS)
