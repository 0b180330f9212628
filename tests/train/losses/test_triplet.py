"""The batch-hard triplet loss against a slow loop, against pytorch-metric-learning, and by hand; with gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers

from dsa_train.losses.triplet import batch_hard_triplet, region_distances, region_triplet
from random_features import PIDS, gradient, sampled


def slow_triplet(features: torch.Tensor, pids: torch.Tensor, margin: float | None) -> torch.Tensor:
    """Hermans et al.: for each anchor the farthest of its own and the nearest of the others."""
    losses = []
    for a in range(len(pids)):
        own = [(features[a] - features[i]).norm() for i in range(len(pids)) if pids[i] == pids[a] and i != a]
        others = [(features[a] - features[i]).norm() for i in range(len(pids)) if pids[i] != pids[a]]
        if own and others:
            difference = max(own) - min(others)
            soft = torch.log(1 + torch.exp(difference))
            losses.append(soft if margin is None else torch.clamp(margin + difference, min=0))
    return torch.stack(losses).mean()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=14), st.none() | st.floats(0, 4), st.integers(0, 2**31))
def test_triplet_against_the_loop(pids: list[int], margin: float | None, seed: int) -> None:
    labels = torch.tensor([0, 0, 1, *pids])  # at least one triplet
    x = sampled(len(labels), 6, seed)
    ours, slow = batch_hard_triplet(x, labels, margin), slow_triplet(x, labels, margin)
    torch.testing.assert_close(ours, slow)
    torch.testing.assert_close(gradient(ours, x), gradient(slow, x))


@pytest.mark.parametrize("pids", [[0, 0, 0], [0, 1, 2]])
def test_soft_margin_of_an_empty_set_has_a_gradient(pids: list[int]) -> None:
    """Of zeros, not of the NaN that an infinite difference would give."""
    x = sampled(3, 4)
    loss = batch_hard_triplet(x, torch.tensor(pids), None)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, x), torch.zeros_like(x))


@pytest.mark.parametrize("margin", [0.3, 3.0])
def test_triplet_against_pytorch_metric_learning(margin: float) -> None:
    x = sampled(len(PIDS), 8)
    distance = pml_distances.LpDistance(normalize_embeddings=False)
    mined = miners.BatchHardMiner(distance=distance)(x, PIDS)
    loss = pml_losses.TripletMarginLoss(margin, distance=distance, reducer=reducers.MeanReducer())
    theirs, ours = loss(x, PIDS, mined), batch_hard_triplet(x, PIDS, margin)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, x), gradient(theirs, x))


def test_triplet_by_hand() -> None:
    """On a line: 0 and 1 are one person, 3 and 7 another."""
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    pids = torch.tensor([5, 5, 9, 9])
    # anchors: 1 - 3 + 2 = 0; 1 - 2 + 2 = 1; 4 - 2 + 2 = 4; 4 - 6 + 2 = 0
    assert batch_hard_triplet(x, pids, margin=2.0).item() == pytest.approx((0 + 1 + 4 + 0) / 4)


def test_triplet_gradient_is_finite_where_features_coincide() -> None:
    x = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    loss = batch_hard_triplet(x, torch.tensor([0, 0, 1, 1]), 0.3)
    assert loss.item() == pytest.approx(0.3)
    assert gradient(loss, x).isfinite().all()


@pytest.mark.parametrize("pids", [[0, 0, 0], [0, 1, 2]], ids=["no negative", "no positive"])
def test_triplet_of_an_empty_set_is_a_zero_in_the_graph(pids: list[int]) -> None:
    x = sampled(3, 4)
    loss = batch_hard_triplet(x, torch.tensor(pids), 0.3)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, x), torch.zeros_like(x))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_triplet_shows_a_broken_feature(broken: float) -> None:
    x = sampled(len(PIDS), 4).detach()
    x[4, 1] = broken
    assert not batch_hard_triplet(x, PIDS, 0.3).isfinite()


def test_triplet_in_half_precision_is_computed_in_full() -> None:
    x = sampled(len(PIDS), 8).detach().bfloat16()
    loss = batch_hard_triplet(x, PIDS, 0.3)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), batch_hard_triplet(x.double(), PIDS, 0.3), atol=1e-6, rtol=0)


def test_distances_of_regions_by_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    features, visibility = torch.randn(5, 8, 3, generator=generator), torch.rand(5, 8, generator=generator)
    visibility[4, 2] = 0
    found = region_distances(features, visibility)
    for a in range(5):
        for b in range(5):
            weights = [(visibility[a, i] * visibility[b, i]).sqrt() for i in range(8)]
            each = [(features[a, i] - features[b, i]).norm() for i in range(8)]
            expected = sum(w * d for w, d in zip(weights, each, strict=True)) / sum(weights)
            torch.testing.assert_close(found[a, b], expected)


def test_a_region_that_one_image_does_not_show_does_not_count() -> None:
    features, visibility = torch.zeros(2, 8, 3), torch.ones(2, 8)
    features[1, 6] = 100
    assert region_distances(features, visibility)[0, 1] > 10
    visibility[0, 6] = 0
    assert region_distances(features, visibility)[0, 1] == 0
    visibility[:] = 0
    assert torch.equal(region_distances(features, visibility), torch.zeros(2, 2))


def test_the_triplet_of_regions_is_that_of_one_region_where_it_alone_is_visible() -> None:
    generator = torch.Generator().manual_seed(1)
    features, pids = torch.randn(6, 8, 4, generator=generator, requires_grad=True), torch.tensor([0, 0, 1, 1, 2, 2])
    visibility = torch.zeros(6, 8)
    visibility[:, 3] = 0.7
    loss = region_triplet(features, visibility, pids, 0.3)
    torch.testing.assert_close(loss, batch_hard_triplet(features[:, 3], pids, 0.3))
    loss.backward()
    assert features.grad is not None
    assert features.grad[:, 3].any()
    assert not features.grad[:, :3].any()
