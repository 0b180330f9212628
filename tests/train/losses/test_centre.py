"""The centre loss: its value and gradients against Wen et al.'s equations, and the steps of the centres."""

import dataclasses

import pytest
import torch

from dsa_app.config import build
from dsa_train.batches.feed import Inputs
from dsa_train.config import TrainConfig
from dsa_train.loop import Run, accumulation, train_step
from dsa_train.losses.centre import centre_loss
from dsa_train.losses.config import LossConfig
from dsa_train.losses.terms import loss_terms
from dsa_train.network.two_stream import TwoStream
from random_features import gradient, sampled

LABELS = torch.tensor([0, 2, 2, 2, 1, 0])
WEIGHT, RATE, LR = 0.02, 0.3, 0.1


def test_value_and_gradients_are_those_of_the_paper() -> None:
    """L = ½ Σ |x - c|² (equation 2) and ∂L/∂x = x - c (equation 3), times 2 / B; each centre has the same sum."""
    x, centres = sampled(6, 4), sampled(3, 4, seed=1)
    loss = centre_loss(x, LABELS, centres)
    half = sum(0.5 * (x[n] - centres[label]) @ (x[n] - centres[label]) for n, label in enumerate(LABELS.tolist()))
    torch.testing.assert_close(loss, half * 2 / 6)
    of_features = torch.stack([x[n] - centres[label] for n, label in enumerate(LABELS.tolist())]) * 2 / 6
    torch.testing.assert_close(gradient(centre_loss(x, LABELS, centres), x), of_features)
    of_centres = (
        torch.stack([sum(centres[j] - x[n] for n in range(6) if int(LABELS[n]) == j) for j in range(3)]) * 2 / 6
    )
    torch.testing.assert_close(gradient(centre_loss(x, LABELS, centres), centres), of_centres)


def run_of(guide: bool = True, **losses: float) -> Run:
    network = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8, "guide": guide}
    schedule, losses = {"lr": LR, "warmup": 0}, {"centre": WEIGHT, "centre_rate": RATE, **losses}
    values = {"height": 64, "width": 32, "network": network, "losses": losses, "schedule": schedule}
    config = build(TrainConfig, values | {"optimiser": {"kind": "sgd", "momentum": 0, "clip": 1e-3}}, "test")
    torch.manual_seed(0)
    run = Run(TwoStream(config.network, 3, centres=True), config)
    run.start_epoch()
    return run


def batch(guide: bool = True) -> Inputs:
    generator = torch.Generator().manual_seed(2)
    parts = torch.randn(6, 24, 3, 8, 8, generator=generator) if guide else None
    return Inputs(torch.randn(6, 3, 64, 32, generator=generator), parts)


@pytest.mark.parametrize("guide", [True, False])
def test_centres_are_of_the_features_that_are_matched(guide: bool) -> None:
    run = run_of(guide)
    outputs = run.network(*batch(guide)[:2])
    kind = "z" if guide else "f"
    assert set(run.network.centres) == {f"{kind}_global", f"{kind}_local"}
    terms = loss_terms(outputs, LABELS, run.config.losses)
    for head in ("global", "local"):
        feature, centres = getattr(outputs, f"{kind}_{head}").flatten(1), run.network.centres[f"{kind}_{head}"]
        expected = WEIGHT * centre_loss(feature, LABELS, centres)
        torch.testing.assert_close(terms[f"centre_{kind}_{head}"], expected)
    assert not [name for name in loss_terms(outputs._replace(centres=None), LABELS, LossConfig()) if "centre" in name]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_moves_centres_at_their_own_rate(accumulate: int) -> None:
    """Neither the loss's weight, nor the schedule, nor clipping, nor weight decay changes it."""
    run = run_of()
    run.config = dataclasses.replace(run.config, accumulate=accumulate)
    before = {name: value.detach().clone() for name, value in run.network.centres.items()}
    with torch.no_grad():
        outputs = run.network.train()(*batch()[:2])
        run.network.load_state_dict(run_of().network.state_dict())
    for step in range(accumulate):
        train_step(run, batch(), LABELS, accumulation(step, accumulate, accumulate))
    for name, centres in run.network.centres.items():
        x = getattr(outputs, name).flatten(1)
        expected = before[name].clone()
        for j in range(3):
            expected[j] -= RATE * 2 / 6 * sum(before[name][j] - x[n] for n in range(6) if int(LABELS[n]) == j)
        torch.testing.assert_close(centres.detach(), expected, rtol=1e-4, atol=1e-5)
        assert centres.grad is None, "the next step starts from no gradient"


def test_the_optimiser_does_not_have_the_centres() -> None:
    run = run_of()
    own = {id(weight) for group in run.optimiser.param_groups for weight in group["params"]}
    assert own == {id(weight) for name, weight in run.network.named_parameters() if not name.startswith("centres.")}


def test_centres_leave_the_other_initial_weights_alone() -> None:
    config = run_of().config.network
    torch.manual_seed(0)
    plain = TwoStream(config, 3).state_dict()
    torch.manual_seed(0)
    with_centres = TwoStream(config, 3, centres=True).state_dict()
    assert with_centres.keys() - plain.keys() == {"centres.z_global", "centres.z_local"}
    assert all(torch.equal(value, with_centres[name]) for name, value in plain.items())
