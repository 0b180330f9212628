"""Forward and backward pass of one part of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dsa_train.torch_setup import autocast


def both_ways(
    work: Callable[..., Any], *inputs: torch.Tensor, device: torch.device, precision: str = "float32"
) -> Callable[[], None]:
    """Return a job that computes `work` and all gradients.

    Args:
        work: returns tensors, alone or nested. Images, which need no gradient, are bound in it.
        inputs: maps, whose gradients are computed too.
        precision: "float32" or "bfloat16", as the trainer's.
    """

    def job() -> None:
        leaves = [x.detach().requires_grad_() for x in inputs]
        with autocast(device, precision):
            outputs = work(*leaves)
        tensors = [x for x in torch.utils._pytree.tree_leaves(outputs) if isinstance(x, torch.Tensor)]
        torch.autograd.backward(tensors, [torch.ones_like(x) for x in tensors])

    return job
