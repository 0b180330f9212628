"""Copies between the CPU and a GPU that do not wait for the work that the GPU still has to do.

`torch.tensor(..., device="cuda")`, `.to("cuda")` and `.cpu()` wait until everything before them on the stream is done:
a handful of constants a batch would leave the GPU without work each time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


def upload(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device, the same tensor if that is the CPU."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    # torch keeps the pinned memory until the copy is done, even if nobody holds the tensor any more.
    return values.pin_memory().to(device, non_blocking=True)


@functools.lru_cache(maxsize=64)
def constant(values: tuple[Any, ...], device: torch.device) -> torch.Tensor:
    """Return nested tuples of numbers as a float32 tensor on a device, copied there once; nobody may change it."""
    # The copy is waited for, this once: a later call may come from a thread with another stream.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)


def download(values: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Begin to copy a tensor to the CPU; return what waits for the copy, and for nothing computed later."""
    if values.device.type != "cuda":
        return values.cpu
    copied = values.to("cpu", non_blocking=True)  # in pinned memory
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(values.device))

    def wait() -> torch.Tensor:
        done.synchronize()
        return copied.clone()  # pinned memory is scarce

    return wait
