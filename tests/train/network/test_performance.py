"""Every switch computes the same, to rounding, and leaves names and values of the weights alone."""

import shutil

import pytest
import torch
from pydantic import ValidationError

from dsa_app.config import build
from dsa_reid.config import MainStreamConfig
from dsa_reid.main_stream import MainStream
from dsa_reid.residual import conv
from dsa_train.losses.config import LossConfig
from dsa_train.losses.terms import loss_terms
from dsa_train.network import performance
from dsa_train.network.branches import GroupedBranches
from dsa_train.network.config import NetworkConfig, SpeedConfig
from dsa_train.network.grouped import compute_grouped, dense_convolution, product
from dsa_train.network.performance import Recomputed, apply_performance
from dsa_train.network.two_stream import TwoStream

PLAIN = SpeedConfig(channels_last=False)
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def step(
    switches: SpeedConfig, **network_settings: object
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return losses, gradients and the state after one step's forward and backward passes, in float64."""
    torch.manual_seed(0)
    main = {"trunk": "resnet18", "width": 0.125}
    settings = {"main": main, "classifier_width": 16, **network_settings}
    network = TwoStream(build(NetworkConfig, settings, "test"), 3).double().train()
    apply_performance(network, switches)
    images, parts = torch.randn(6, 3, 32, 16).double(), torch.randn(6, 24, 3, 8, 8).double()
    losses = loss_terms(network(images, parts), LABELS, LossConfig())
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in network.named_parameters()}, network.state_dict()


@pytest.mark.parametrize(
    "switch",
    [
        {"channels_last": True},
        {"checkpoint_branches": True},
        pytest.param({"compile": "default"}, marks=[pytest.mark.slow, COMPILER, pytest.mark.timeout(900)]),
        {"checkpoint_branches": True, "channels_last": True},
        {"guide_heads": "channels_last"},
        {"guide_heads": "channels_last", "channels_last": True},
        {"local_heads": "product"},
        {"local_heads": "product", "channels_last": True},
        {"local_heads": "dense", "channels_last": True},
        pytest.param({"compile": "parts"}, marks=[pytest.mark.slow, COMPILER, pytest.mark.timeout(900)]),
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


def test_a_loop_of_branches_with_channels_innermost_is_the_same(monkeypatch) -> None:
    monkeypatch.setattr(performance, "NARROW", 1)
    found, expected = (step(SpeedConfig(channels_last=last), branches="loop") for last in (True, False))
    for ours, reference in zip(found, expected, strict=True):
        for name, value in reference.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("kind", "width", "last"), [("grouped", 4, True), ("loop", 4, False), ("loop", 32, True)])
def test_narrow_branches_in_a_loop_stay_as_they_are(kind: str, width: int, last: bool) -> None:
    """As docs/performance.md measured it: c_A = 8 · width."""
    main = {"trunk": "resnet18", "width": width / 32}
    network = apply_performance(
        TwoStream(build(NetworkConfig, {"main": main, "branches": kind}, "test"), 3), SpeedConfig()
    )
    assert network.guide.branches.memory_format == (torch.channels_last if last else torch.contiguous_format)


@pytest.mark.parametrize("trunk", ["resnet18", "resnet50"])
@pytest.mark.parametrize("last", [True, False])
def test_grouped_convolutions_in_other_ways_are_the_same(trunk: str, last: bool) -> None:
    """Kernels of 1×1 and 3×3, with and without strides, against torch's grouped convolution, in float64."""
    layout = torch.channels_last if last else torch.contiguous_format
    torch.manual_seed(0)
    for kernel, stride in ((1, 1), (1, 2), (3, 1), (3, 2)):
        layer = conv(16, 32, kernel, stride, groups=4).double()
        x = torch.randn(2, 16, 8, 6).double().contiguous(memory_format=layout)
        ways = [dense_convolution, *([product] if kernel == 1 else [])]
        for way in ways:
            torch.testing.assert_close(way(layer, x), layer(x), rtol=0, atol=1e-12)
    with torch.no_grad():
        main = MainStream(MainStreamConfig(trunk=trunk, width=0.125)).double().eval()
        maps = torch.randn(2, main.channels, 4, 2).double()
        expected = main.local_head(maps)
        names = list(main.state_dict())
        for how in ("product", "dense"):
            compute_grouped(main.local_head, how)
            torch.testing.assert_close(main.local_head(maps), expected, rtol=0, atol=1e-9)
    assert list(main.state_dict()) == names


@pytest.mark.parametrize(
    ("switches", "on_gpu", "last"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"channels_last": False}, True, False),
        ({"guide_heads": "contiguous"}, True, False),
        ({"guide_heads": "channels_last"}, False, True),
    ],
)
def test_the_guides_heads_have_the_layout_that_is_faster_on_the_device(
    switches: dict, on_gpu: bool, last: bool
) -> None:
    found = performance._guide_heads_format(SpeedConfig(**switches), on_gpu)
    assert found == (torch.channels_last if last else torch.contiguous_format)


def test_settings_that_contradict_each_other() -> None:
    for wrong in ({"fused_optimiser": False}, {"compile": "reduce-overhead"}):
        with pytest.raises(ValidationError, match="cuda_graph = true needs"):
            SpeedConfig(cuda_graph=True, **wrong)


def test_recomputed_branches_keep_little_more_than_their_input() -> None:
    kept = {}
    parts = torch.randn(8, 24, 3, 16, 16)
    for name, run in {"kept": GroupedBranches(8), "recomputed": Recomputed(GroupedBranches(8))}.items():
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            run(parts)
        kept[name] = sum(sizes)
    assert kept["recomputed"] <= 1.1 * parts.numel() < kept["kept"] / 5
