"""Losses against a slow loop, against pytorch-metric-learning, and by hand; in float64, with gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers

from dsa_train.losses.terms import LossConfig, batch_hard_triplet, circle, cross_entropy, terms
from dsa_train.network.two_stream import Outputs

PIDS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])


def drawn(b: int, d: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, d, dtype=torch.float64, generator=generator).requires_grad_()


def gradient(loss: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, x)[0]


def slow_triplet(features: torch.Tensor, pids: torch.Tensor, margin: float) -> torch.Tensor:
    """Hermans et al.: for each anchor the farthest of its own and the nearest of the others."""
    losses = []
    for a in range(len(pids)):
        own = [(features[a] - features[i]).norm() for i in range(len(pids)) if pids[i] == pids[a] and i != a]
        others = [(features[a] - features[i]).norm() for i in range(len(pids)) if pids[i] != pids[a]]
        if own and others:
            losses.append(torch.clamp(margin + max(own) - min(others), min=0))
    return torch.stack(losses).mean()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=14), st.floats(0, 4), st.integers(0, 2**31))
def test_triplet_against_the_loop(pids: list[int], margin: float, seed: int) -> None:
    labels = torch.tensor([0, 0, 1, *pids])  # at least one triplet
    x = drawn(len(labels), 6, seed)
    ours, slow = batch_hard_triplet(x, labels, margin), slow_triplet(x, labels, margin)
    torch.testing.assert_close(ours, slow)
    torch.testing.assert_close(gradient(ours, x), gradient(slow, x))


@pytest.mark.parametrize("margin", [0.3, 3.0])
def test_triplet_against_pytorch_metric_learning(margin: float) -> None:
    x = drawn(len(PIDS), 8)
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
    x = drawn(3, 4)
    loss = batch_hard_triplet(x, torch.tensor(pids), 0.3)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, x), torch.zeros_like(x))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_triplet_shows_a_broken_feature(broken: float) -> None:
    x = drawn(len(PIDS), 4).detach()
    x[4, 1] = broken
    assert not batch_hard_triplet(x, PIDS, 0.3).isfinite()


def test_triplet_in_half_precision_is_computed_in_full() -> None:
    x = drawn(len(PIDS), 8).detach().bfloat16()
    loss = batch_hard_triplet(x, PIDS, 0.3)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), batch_hard_triplet(x.double(), PIDS, 0.3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_the_loop(smoothing: float) -> None:
    """Szegedy et al.: the target is 1 - ε on the truth plus ε / identities on every identity."""
    logits, labels = drawn(6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    losses = []
    for row, label in zip(logits, labels, strict=True):
        logp = row - torch.logsumexp(row, 0)
        target = torch.full((5,), smoothing / 5, dtype=torch.float64)
        target[label] += 1 - smoothing
        losses.append(-(target * logp).sum())
    slow, ours = torch.stack(losses).mean(), cross_entropy(logits, labels, smoothing)
    torch.testing.assert_close(ours, slow)
    torch.testing.assert_close(gradient(ours, logits), gradient(slow, logits))


def outputs(*names: str) -> Outputs:
    """Features of the names given, and logits on every f and z of them; 4 pictures, 3 identities."""
    features = {
        name: drawn(4, 16, seed).unflatten(1, (8, 2)) if "local" in name else drawn(4, 2, seed)
        for seed, name in enumerate(names)
    }
    classified = [name for name in names if name[0] in "fz" and name != "f_local"]
    classified += [f"f_local_{i}" for i in range(8)] if "f_local" in names else []
    logits = {name: drawn(4, 3, 100 + seed) for seed, name in enumerate(classified)}
    empty = dict.fromkeys(Outputs._fields)
    return Outputs(**(empty | features | {"logits": logits}))


LABELS = torch.tensor([0, 0, 2, 2])


def test_the_thirteen_terms_and_their_weights() -> None:
    out = outputs("f_global", "f_local", "d_global", "d_local", "z_global", "z_local")
    found = terms(out, LABELS, LossConfig())
    assert len(found) == 13
    expected = {"id_f_global": 0.5 * cross_entropy(out.logits["f_global"], LABELS, 0.1)}
    for i in range(8):
        expected[f"id_f_local_{i}"] = 0.5 * cross_entropy(out.logits[f"f_local_{i}"], LABELS, 0.1)
    expected["id_z_global"] = cross_entropy(out.logits["z_global"], LABELS, 0.1)
    expected["id_z_local"] = cross_entropy(out.logits["z_local"], LABELS, 0.1)
    expected["triplet_z_global"] = 1.5 * batch_hard_triplet(out.z_global, LABELS, 0.3)
    expected["triplet_z_local"] = 1.5 * batch_hard_triplet(out.z_local.flatten(1), LABELS, 0.3)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_terms_of_the_ablations() -> None:
    baseline = terms(outputs("f_global"), LABELS, LossConfig())
    assert list(baseline) == ["id_f_global", "triplet_f_global"]
    two_branches = terms(outputs("f_global", "f_local"), LABELS, LossConfig())
    assert {"id_f_global", "id_f_local_7", "triplet_f_global", "triplet_f_local"} <= two_branches.keys()
    assert len(two_branches) == 11
    single_global = terms(outputs("f_global", "d_global", "z_global"), LABELS, LossConfig())
    assert sorted(single_global) == ["id_f_global", "id_z_global", "triplet_z_global"]
    single_local = terms(outputs("f_local", "d_local", "z_local"), LABELS, LossConfig())
    assert len(single_local) == 8 + 2

    ratio = baseline["id_f_global"] / cross_entropy(outputs("f_global").logits["f_global"], LABELS, 0.1)
    assert ratio.item() == pytest.approx(1.0)  # its feature is the one that is matched
    both = outputs("f_global", "f_local")
    ratio = two_branches["id_f_global"] / cross_entropy(both.logits["f_global"], LABELS, 0.1)
    assert ratio.item() == pytest.approx(0.5)


@pytest.mark.parametrize(("margin", "scale"), [(0.25, 64.0), (0.4, 8.0)])
def test_circle_against_pytorch_metric_learning(margin: float, scale: float) -> None:
    x = drawn(len(PIDS), 8)
    theirs = pml_losses.CircleLoss(m=margin, gamma=scale, reducer=reducers.MeanReducer())(x, PIDS)
    ours = circle(x, PIDS, margin, scale)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, x), gradient(theirs, x))


@pytest.mark.parametrize("pids", [[0, 0, 0], [0, 1, 2]], ids=["no negative", "no positive"])
def test_circle_of_an_empty_set_is_a_zero_in_the_graph(pids: list[int]) -> None:
    x = drawn(3, 4)
    loss = circle(x, torch.tensor(pids), 0.25, 64.0)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, x), torch.zeros_like(x))


def test_circle_takes_the_triplets_place() -> None:
    found = terms(outputs("f_global", "d_global", "z_global"), LABELS, LossConfig(metric="circle", circle=0.5))
    assert sorted(found) == ["circle_z_global", "id_f_global", "id_z_global"]
