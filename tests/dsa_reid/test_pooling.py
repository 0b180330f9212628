"""Generalised means by their definition, and as the limits say."""

import pytest
import torch

from dsa_reid import MainStream, MainStreamConfig
from dsa_reid.pooling import GeneralisedMean, average


@pytest.mark.parametrize("p", [1.0, 3.0, 7.5])
def test_the_definition(p: float) -> None:
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    gem = GeneralisedMean().double()
    gem.p.data.fill_(p)
    expected = [[(sum(x**p for x in channel.flatten().tolist()) / 20) ** (1 / p) for channel in one] for one in maps]
    torch.testing.assert_close(gem(maps), torch.tensor(expected, dtype=torch.float64))


def test_between_average_and_maximum() -> None:
    maps = torch.rand(2, 3, 4, 5)
    pooled = GeneralisedMean()(maps)
    assert (pooled > average(maps)).all()
    assert (pooled < maps.amax((2, 3))).all()
    assert GeneralisedMean()(maps.bfloat16()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(GeneralisedMean()(maps), pooled, rtol=0, atol=0)


def test_gradients_are_finite_where_maps_are_zero() -> None:
    gem = GeneralisedMean()
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    gem(maps).sum().backward()
    assert maps.grad.isfinite().all()
    assert gem.p.grad.isfinite()


def test_the_main_stream_pools_by_gem_and_its_neck_normalises() -> None:
    torch.manual_seed(0)
    config = MainStreamConfig(trunk="resnet18", width=0.125, pooling="gem", neck="bn")
    network = MainStream(config).train()
    images = torch.randn(16, 3, 32, 16)
    before, after = network.features(images), network(images)
    torch.testing.assert_close(before.global_, GeneralisedMean()(network.global_head(network.trunk(images))))
    assert after.local.shape == before.local.shape == (16, 8, 8)
    for feature in (after.global_, after.local.flatten(1)):
        torch.testing.assert_close(feature.mean(0), torch.zeros(64), atol=1e-5, rtol=0)
    assert [name for name, p in network.necks.named_parameters() if not p.requires_grad] == [
        "f_global.bias",
        "f_local.bias",
    ]
