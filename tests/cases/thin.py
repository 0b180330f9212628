"""A model file of a main stream so thin that it embeds an image in a millisecond, and a folder of images."""

from pathlib import Path

import numpy as np
import torch

import dsa_reid
from dsa_data.images import encode_jpeg

PREPROCESSING = dsa_reid.Preprocessing(32, 16)


def write_model(path: Path, seed: int = 0, **changes) -> Path:
    """Write a model with random weights; `changes` are those of its `MainStreamConfig`."""
    torch.manual_seed(seed)
    stream = dsa_reid.MainStream(dsa_reid.MainStreamConfig(**{"trunk": "resnet18", "width": 0.125, **changes}))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return dsa_reid.save(stream, path, PREPROCESSING)


def write_images(folder: Path) -> Path:
    """Write 12 images into two subfolders: a/00.jpg, b/01.jpg, a/02.jpg, ..."""
    generator = np.random.default_rng(0)
    for n in range(12):
        path = folder / ("b" if n % 2 else "a") / f"{n:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(generator.integers(0, 256, (40 + n, 20, 3), dtype=np.uint8)))
    return folder
