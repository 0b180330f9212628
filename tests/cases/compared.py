"""A tiny two-stream network, one batch, and its training steps on any device."""

from typing import Any

import torch

from dsa_app.config import build
from dsa_train.batches.feed import Inputs
from dsa_train.config import TrainConfig
from dsa_train.loop import Accumulation, Run, train_step
from dsa_train.network.two_stream import TwoStream

CPU = torch.device("cpu")
LABELS = torch.arange(6).repeat_interleave(4)
SETTINGS = {
    "height": 64,
    "width": 32,
    "identities": 6,
    "pictures": 4,
    "precision": "float32",
    "network": {
        "main": {"trunk": "resnet18", "width": 0.125},
        "weights": "none",
        "classifier_width": 16,
    },
}


def configuration(**changes: Any) -> TrainConfig:
    """Return settings of a training of a thin ResNet-18 on 24 images of 64x32, without weights to download."""
    return build(TrainConfig, {**SETTINGS, **changes}, "test")


def new_run(device: torch.device, **changes: Any) -> Run:
    """Return a run in its first epoch on a device, its initial weights the same on every device."""
    config = configuration(**changes)
    torch.manual_seed(0)
    run = Run(TwoStream(config.network, 6).to(device), config)
    run.start_epoch()
    return run


def batch(device: torch.device, seed: int = 0) -> tuple[Inputs, torch.Tensor]:
    """Return normalised images (24, 3, 64, 32), parts (24, 24, 3, 8, 8) and labels (24,) on a device."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((24, 3, 64, 32), generator=generator)
    parts = torch.randn((24, 24, 3, 8, 8), generator=generator)
    return Inputs(images.to(device), parts.to(device)), LABELS.to(device)


def steps(run: Run, count: int, first: int = 0) -> torch.Tensor:
    """Train on batches `first` ... of their own seeds; return the total losses of the steps, float64 on the CPU."""
    device = next(run.network.parameters()).device
    totals = []
    for seed in range(first, first + count):
        step = train_step(run, *batch(device, seed), Accumulation(first=True, last=True, batches=1))
        totals.append(sum(loss.detach().double().cpu() for loss in step.losses.values()))
    return torch.stack(totals)


def gradients(run: Run) -> torch.Tensor:
    """Return the gradients of all weights as one vector, float64 on the CPU."""
    found = [weight.grad for weight in run.network.parameters() if weight.grad is not None]
    return torch.cat([gradient.detach().double().cpu().flatten() for gradient in found])


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return how far a vector is from the expected one, as a share of that one's length."""
    return float((found - expected).norm() / expected.norm())
