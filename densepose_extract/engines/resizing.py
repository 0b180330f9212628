"""Pillow's bilinear enlargement of a batch on a GPU, to the bit.

Pillow makes wider rows and then more of them, in integers with 22 bits of a fraction (`src/libImaging/Resample.c`). The
same sums are made here for all images of a batch, each of its own size: a GPU gives the bytes of `sizing.resize`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dsa_reid.upload import upload

BITS = 22  # of the fraction of a weight
TAPS = 3  # samples that a pixel is made of at most: the triangle filter is two samples wide


@functools.lru_cache(maxsize=1024)
def taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of `source` that each of `target` ≥ `source` pixels is made of, and their weights.

    Returns int64 and int32 (TAPS, target); weights are in units of 2^-22, 0 for a sample that is not needed.
    """
    centres = (np.arange(target) + 0.5) * (source / target)  # in samples, whose centres are at 0.5, 1.5, …
    first = np.maximum(0, (centres - 0.5).astype(np.int64))
    samples = first + np.arange(TAPS)[:, None]
    beyond = np.minimum(source, (centres + 1.5).astype(np.int64))  # the sample after the last
    shares = np.where(samples < beyond, np.maximum(0.0, 1 - np.abs(samples - centres + 0.5)), 0.0)
    total = shares[0] + shares[1] + shares[2]  # in Pillow's order
    weights = (0.5 + shares / total * (1 << BITS)).astype(np.int32)
    samples = np.minimum(samples, source - 1)
    return samples, weights


class BatchTaps:
    """`taps` along one axis of B images.

    Attributes:
        samples, weights: int64 and int32 (B, TAPS, size), or (1, TAPS, size) if they are the same for all; weights are
            0 beyond an image's own pixels.
    """

    def __init__(self, sources: Sequence[int], targets: Sequence[int], size: int) -> None:
        pairs = list(zip(sources, targets, strict=True))
        if len(set(pairs)) == 1:
            pairs = pairs[:1]
        samples, weights = np.zeros((len(pairs), TAPS, size), np.int64), np.zeros((len(pairs), TAPS, size), np.int32)
        for n, (source, target) in enumerate(pairs):
            samples[n, :, :target], weights[n, :, :target] = taps(source, target)
        self.samples, self.weights = torch.from_numpy(samples), torch.from_numpy(weights)

    def applied(self, images: Tensor, axis: int) -> Tensor:
        """Return uint8 (B, H, W, 3) resampled along axis 1 or 2 of images."""
        samples, weights = upload(self.samples, images.device), upload(self.weights, images.device)
        shape = list(images.shape)
        shape[axis] = samples.shape[-1]
        along = [len(samples), 1, 1, 1]
        along[axis] = samples.shape[-1]
        total = torch.full(shape, 1 << (BITS - 1), dtype=torch.int32, device=images.device)  # rounds to the nearest
        for tap in range(TAPS):
            sampled = images.gather(axis, samples[:, tap].reshape(along).expand(shape))
            total += sampled.to(torch.int32) * weights[:, tap].reshape(along)
        return (total >> BITS).to(torch.uint8)
