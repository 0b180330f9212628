"""The naive loop of the benchmarks can be trained as ours is: its comparison must not end for a changed signature."""

import sys

import pytest
import torch

from dsa_reid import MainStreamConfig
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream
from repository import ROOT


def test_the_naive_network_gives_what_ours_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    from naive.network import naive_network

    config = NetworkConfig(weights="none", main=MainStreamConfig(trunk="resnet18", width=0.125))
    torch.manual_seed(0)
    images, texels = torch.randn(4, 3, 64, 32), torch.randn(4, 24, 3, 16, 16)
    ours, naive = TwoStream(config, 5)(images, texels), naive_network(config, 5)(images, texels)
    shapes = [{name: tuple(one.shape) for name, one in each.logits.items()} for each in (ours, naive)]
    assert shapes[0] == shapes[1]
    assert {"f_global", "f_local_7", "z_global"} <= shapes[0].keys()
    sum(one.sum() for one in naive.logits.values()).backward()
