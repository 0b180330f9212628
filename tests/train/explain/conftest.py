"""A thin main stream and an image for it."""

import pytest
import torch

from dsa_reid.main_stream import MainStream, MainStreamConfig

H, W = 32, 16


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(3, H, W, generator=torch.Generator().manual_seed(0)) + 2


@pytest.fixture(scope="session")
def make_stream():
    def make(**changes) -> MainStream:
        torch.manual_seed(0)
        stream = MainStream(MainStreamConfig(**{"trunk": "resnet18", "width": 0.125, **changes}))
        stream(torch.randn(8, 3, H, W))  # running statistics of its own
        return stream.eval()

    return make
