"""How the network is computed: device, precision, seeds, determinism, and the error for exhausted memory."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from dsa_app.errors import TrainingError
from dsa_reid.device import usable_device
from dsa_reid.errors import DeviceError


def choose_device(name: str, local: int = 0) -> torch.device:
    """Return the CPU or GPU called `name`, see `dsa_reid.device.usable_device`. Raises TrainingError.

    Args:
        local: number of this process on its machine: which GPU it takes where none is named by number.
    """
    try:
        return usable_device(name, local, types=("cpu", "cuda"))
    except DeviceError as error:
        raise TrainingError(str(error)) from None


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which the network runs; losses are computed outside of it."""
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and supported)
    )


def prepare_torch(seed: int, deterministic: bool, threads: int) -> None:
    """Seed every generator, choose between fast and deterministic operations, and set the number of threads."""
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
    """Turn an out-of-memory error, of a GPU or of the machine, into a TrainingError that says what to change."""
    message = f"Out of memory with {what}. {remedy}"
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(message) from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # the words of torch's allocator for the CPU
            raise
        raise TrainingError(message) from None
