"""How fast a model is: images a second through the network, without reading, decoding and resizing."""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import torch

from dsa_reid.model import Model

LEAST = 3  # batches that are timed, however slow


def images_per_second(model: Model, batch: int, seconds: float) -> float:
    """Return how many images of its size a model embeds in a second, by the median time of a batch.

    Args:
        batch: images at once.
        seconds: that batches are timed for.
    """
    height, width = model.preprocessing.height, model.preprocessing.width
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)
    model.features(images)  # folds batch norm, and lets the device choose its algorithms
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        model.features(images)  # ends with a copy to the CPU: nothing of it is left to do
        times.append(time.perf_counter() - start)
    return batch / statistics.median(times)


def machine(device: torch.device) -> str:
    """Return what a speed was measured on: "NVIDIA H100 80GB HBM3", or a CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu()}, {threads} thread{'s' if threads > 1 else ''}"


def _cpu() -> str:
    """Return the model of the CPU as Linux names it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
