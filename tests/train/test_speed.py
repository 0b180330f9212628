"""Every switch computes the same, to rounding, and leaves names and values of the weights alone."""

import shutil

import pytest
import torch

from data.config import build
from train.branches import GroupedBranches
from train.losses import LossConfig, terms
from train.network import NetworkConfig, TwoStream
from train.speed import Recomputed, SpeedConfig, hasten

PLAIN = SpeedConfig(channels_last=False)
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def step(speed: SpeedConfig) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return losses, gradients and the state after one step's forward and backward passes, in float64."""
    torch.manual_seed(0)
    main = {"trunk": "resnet18", "width": 0.125}
    network = TwoStream(build(NetworkConfig, {"main": main, "classifier_width": 16}, "test"), 3).double().train()
    hasten(network, speed)
    images, parts = torch.randn(6, 3, 32, 16).double(), torch.randn(6, 24, 3, 8, 8).double()
    losses = terms(network(images, parts), LABELS, LossConfig())
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in network.named_parameters()}, network.state_dict()


@pytest.mark.parametrize(
    "switch",
    [
        {"channels_last": True},
        {"checkpoint_branches": True},
        pytest.param({"compile": "default"}, marks=[pytest.mark.slow, COMPILER, pytest.mark.timeout(900)]),
        {"checkpoint_branches": True, "channels_last": True},
    ],
    ids=str,
)
def test_the_same_losses_gradients_and_statistics(switch: dict) -> None:
    expected = step(PLAIN)
    found = step(SpeedConfig(**{"channels_last": False, **switch}))
    for ours, reference in zip(found, expected, strict=True):
        assert ours.keys() == reference.keys()
        for name, value in reference.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-10)


def test_recomputed_branches_keep_little_more_than_their_input() -> None:
    kept = {}
    parts = torch.randn(8, 24, 3, 16, 16)
    for name, run in {"kept": GroupedBranches(8), "recomputed": Recomputed(GroupedBranches(8))}.items():
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            run(parts)
        kept[name] = sum(sizes)
    assert kept["recomputed"] <= 1.1 * parts.numel() < kept["kept"] / 5
