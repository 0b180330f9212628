"""Random features, and gradients with respect to them, for the tests of the losses."""

import torch

PIDS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])


def sampled(b: int, d: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, d, dtype=torch.float64, generator=generator).requires_grad_()


def gradient(loss: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, x)[0]
