"""Steps by a CUDA graph. On a CPU a stand-in records the work: its replay computes into the tensors of the record."""

import functools
from collections.abc import Callable

import pytest
import torch

from compared import CPU, batch, new_run, steps
from dsa_train.graphed import EAGER, GraphedStep
from dsa_train.loop import Accumulation, Run, plain_step, train_step

Losses = dict[str, torch.Tensor]


class Record:
    """Records as a CUDA graph does: nothing is computed until the replay, which fills the same tensors each time."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def __call__(self, work: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        self.recorded += 1
        held: Losses = {}

        class Filled(dict):
            def items(self):
                return held.items()

        def replay() -> None:
            self.replayed += 1
            for name, value in work().items():
                held.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, Filled()


def graphed(run: Run) -> Record:
    record = Record()
    run.graphed = GraphedStep(functools.partial(plain_step, run), record)
    return record


@pytest.mark.parametrize(
    "changes", [{}, {"ema": 0.9}, {"network": {"guide": False}}, {"optimiser": {"clip": 0.1}}], ids=str
)
def test_replayed_steps_are_the_steps_of_the_training_to_the_bit(changes: dict) -> None:
    network = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 16}
    changes = changes | {"network": network | changes.get("network", {})}
    plain, run = new_run(CPU, **changes), new_run(CPU, **changes)
    record = graphed(run)
    assert torch.equal(steps(run, 5), steps(plain, 5))
    assert (record.recorded, record.replayed) == (1, 5 - EAGER)
    for name, value in plain.network.state_dict().items():
        assert torch.equal(run.network.state_dict()[name], value), name
    if plain.average:
        assert all(torch.equal(run.average.weights[name], value) for name, value in plain.average.weights.items())


def test_losses_are_left_alone_by_later_steps() -> None:
    run = new_run(CPU)
    graphed(run)
    kept = [train_step(run, *batch(CPU, seed), Accumulation(True, True, 1)).losses for seed in range(EAGER + 2)]
    totals = torch.stack([sum(loss.detach().double() for loss in losses.values()) for losses in kept])
    assert totals[-1] != totals[-2]
    assert torch.equal(totals, steps(new_run(CPU), EAGER + 2))


def test_a_smaller_batch_and_a_comparison_are_computed_directly() -> None:
    run = new_run(CPU)
    record = graphed(run)
    steps(run, EAGER + 1)
    inputs, labels = batch(CPU)
    half = inputs._replace(images=inputs.images[:12], parts=inputs.parts[:12])
    losses, _, _ = train_step(run, half, labels[:12], Accumulation(True, True, 1))
    assert len(losses) == 13
    _, comparison, _ = train_step(run, inputs, labels, Accumulation(True, True, 1), compare=True)
    assert comparison.keys() == {"own", "guided", "cosine"}
    assert record.replayed == 1


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({}, True),
        ({"optimiser": {"kind": "sgd"}}, True),
        ({"accumulate": 2}, False),
        ({"guidance": {"drop": 0.5}}, False),
        ({"network": {"guide": False, "region_teacher": True}}, False),
        ({"network": {"guide": False, "main": {"local_pooling": "stripes"}}}, False),
    ],
    ids=str,
)
def test_steps_with_more_than_a_batch_alone_are_not_recorded(changes: dict, plain: bool) -> None:
    network = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 16}
    own = changes.get("network", {})
    main = network["main"] | own.get("main", {})
    assert new_run(CPU, **{**changes, "network": network | own | {"main": main}}).is_plain == plain


def test_it_is_recorded_on_a_gpu_alone() -> None:
    assert new_run(CPU, speed={"cuda_graph": True}).graphed is None
