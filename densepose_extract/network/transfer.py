"""Small tensors from the CPU to a GPU, without waiting for the work that the GPU still has to do.

`torch.tensor(..., device="cuda")` and `.to("cuda")` wait until everything before them on the stream is done: a handful
of constants a batch would leave the GPU without work each time.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device, the same tensor if that is the CPU."""
    if device.type != "cuda":
        return values.to(device)
    # torch keeps the pinned memory until the copy is done, even if nobody holds the tensor any more.
    return values.pin_memory().to(device, non_blocking=True)


@functools.lru_cache(maxsize=64)
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Return nested tuples of numbers as a float32 tensor on a device, copied there once; nobody may change it."""
    # The copy is waited for, this once: a later call may come from a thread with another stream.
    return torch.tensor(values, dtype=torch.float32, device=device)
