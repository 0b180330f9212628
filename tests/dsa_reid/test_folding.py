"""Batch norm in the convolutions: the same features, in float64, of every kind of network."""

import pytest
import torch
from torch import nn

from dsa_reid import MainStream, MainStreamConfig
from dsa_reid.folding import folded

CONFIGS = [
    {"trunk": "resnet18", "width": 0.125},
    {"trunk": "resnet50", "width": 0.125},
    {"trunk": "resnet50_ibn", "width": 0.125, "neck": "bn"},
    {"trunk": "resnet18", "width": 0.125, "local_input": "full", "pooling": "gem"},
    {"trunk": "resnet18", "width": 0.125, "heads": "global"},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_folded_network_has_the_same_features(config: dict) -> None:
    torch.manual_seed(0)
    network = MainStream(MainStreamConfig(**config)).double()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    network(torch.randn(8, 3, 64, 32).double())  # running statistics of its own
    network.eval()
    names = list(network.state_dict())
    images = torch.randn(3, 3, 64, 32).double()
    with torch.no_grad():
        for ours, expected in zip(folded(network)(images), network(images), strict=True):
            if expected is not None:
                torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)
    assert list(network.state_dict()) == names, "the network itself stays as it is"


def test_no_batch_norm_is_left_after_a_convolution() -> None:
    network = folded(MainStream(MainStreamConfig(trunk="resnet50", width=0.125)).eval())
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(parameter.requires_grad for parameter in network.parameters())
