"""Where and how exactly the network computes: device, precision, seeds, and what to say when memory runs out."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from dsa_app.errors import TrainingError


def choose_device(name: str, local: int = 0) -> torch.device:
    """Return the device called `name`; "auto" is a GPU, else the CPU. Raises TrainingError.

    Args:
        local: number of this process on its machine: which GPU it takes where none is named by number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and local:
        name = f"cuda:{local}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainingError(f"No device is called {name!r}. Say auto, cpu, cuda or cuda:1.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"The device {name!r} was asked for, and torch finds {torch.cuda.device_count()} CUDA devices. "
            "Check nvidia-smi and that torch is built for CUDA, or say device=auto or cpu."
        )
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"Devices of type {device.type!r} are not supported. Say auto, cpu or cuda.")
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which the network runs; losses are computed outside of it."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and able)
    )


def prepare(seed: int, deterministic: bool, threads: int) -> None:
    """Seed every generator, choose between fast and repeatable operations, and set the number of threads."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if threads:
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic


@contextmanager
def memory_explained(what: str, remedy: str) -> Iterator[None]:
    """Turn "out of memory", of a GPU or of the machine, into a TrainingError that says what to change."""
    message = f"Out of memory with {what}. {remedy}"
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(message) from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # how torch's allocator for the CPU says it
            raise
        raise TrainingError(message) from None
