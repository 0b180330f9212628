"""One step of the training loop: where the gradients of several batches are accumulated, and what it returns."""

import pytest
import torch

from dsa_train.batches.feed import Inputs
from dsa_train.loop import Accumulation, Run, accumulation, train_step
from dsa_train.network.two_stream import TwoStream

LABELS = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("steps", "accumulate", "expected"),
    [
        (2, 1, [(True, True, 1), (True, True, 1)]),
        (4, 3, [(True, False, 3), (False, False, 3), (False, True, 3), (True, True, 1)]),
        (2, 5, [(True, False, 2), (False, True, 2)]),
    ],
)
def test_the_last_group_of_an_epoch_is_smaller(steps: int, accumulate: int, expected: list[tuple]) -> None:
    assert [accumulation(step, steps, accumulate) for step in range(steps)] == expected


@pytest.fixture
def run(small) -> Run:
    torch.manual_seed(0)
    run = Run(TwoStream(small().network, identities=2), small())
    run.start_epoch()
    return run


def batch(seed: int) -> tuple[Inputs, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images, parts = (torch.randn(shape, generator=generator) for shape in ((4, 3, 64, 32), (4, 24, 3, 8, 8)))
    return Inputs(images, parts), LABELS


def test_a_group_of_batches_makes_one_step_with_the_mean_gradient(run: Run) -> None:
    weight = run.network.main.trunk.conv1.weight
    before = weight.detach().clone()
    alone = []
    for seed in (0, 1):
        train_step(run, *batch(seed), Accumulation(first=True, last=False, batches=1))
        alone.append(weight.grad.clone())
    train_step(run, *batch(0), Accumulation(first=True, last=False, batches=2))
    assert torch.equal(weight, before), "before the last batch of the group the weights stay"
    train_step(run, *batch(1), Accumulation(first=False, last=True, batches=2))
    torch.testing.assert_close(weight.grad, (alone[0] + alone[1]) / 2)
    assert not torch.equal(weight, before)


def test_a_step_returns_the_terms_and_if_asked_the_gradients(run: Run) -> None:
    losses, comparison, cells = train_step(run, *batch(0), Accumulation(True, True, 1))
    assert cells == {}
    assert len(losses) == 13
    assert comparison == {}
    _, comparison, _ = train_step(run, *batch(0), Accumulation(True, True, 1), compare=True)
    assert comparison.keys() == {"own", "guided", "cosine"}
