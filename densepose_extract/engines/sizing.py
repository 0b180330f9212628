"""Images prepared for the network: resized, batched by size, padded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dsa_app.errors import ImageError
from dsa_reid.upload import constant

from ..network.model import PIXEL_MEAN
from .resizing import BatchTaps

MULTIPLE = 32  # the pyramid's levels add up for sizes that are multiples of this
RESIZING_THREADS = 8
CROP_PIXELS = 256 * 512  # padded pixels of a usual crop (1 : 2) at shortest side 256, by which batches are measured


def resized_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Return height and width with the shortest side `min_size`, the longest at most `max_size`, never 0.

    The rounding is detectron2's (ResizeShortestEdge).
    """
    scale = min_size / min(height, width)
    h, w = (min_size, scale * width) if height < width else (scale * height, min_size)
    if max(h, w) > max_size:
        shrink = max_size / max(h, w)
        h, w = h * shrink, w * shrink
    return max(1, int(h + 0.5)), max(1, int(w + 0.5))


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width rounded up to multiples of 32."""
    return -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE


def batches(sizes: Sequence[tuple[int, int]], min_size: int, max_size: int, batch: int) -> list[list[int]]:
    """Group images (height, width) by their padded size into batches of indices, smallest size first.

    All images of a batch get the padding that each would get alone, so that a batch changes no map except by rounding.
    A batch holds as many pixels as `batch` images of 256 × 512, and at least one image.
    """
    indices_by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (height, width) in enumerate(sizes):
        indices_by_size[padded_size(*resized_size(height, width, min_size, max_size))].append(index)
    result: list[list[int]] = []
    for (height, width), indices in sorted(indices_by_size.items()):
        count = max(1, min(batch, batch * CROP_PIXELS // (height * width)))
        result.extend(indices[start : start + count] for start in range(0, len(indices), count))
    return result


@dataclass(frozen=True)
class Canvas:
    """The images of a batch on the CPU, made by any thread before the network needs them.

    Attributes:
        pixels: uint8 (B, h, w, 3) RGB: resized, with 0 in the padding; or as they were read where the device resizes
            them.
        sizes: height and width of each resized image.
        rows, columns: how the device resizes them; None if they are resized.
    """

    pixels: Tensor
    sizes: list[tuple[int, int]]
    rows: BatchTaps | None = None
    columns: BatchTaps | None = None

    def on(self, device: torch.device) -> Tensor:
        """Return the resized images on a device, uint8 (B, h', w', 3); hold the canvas until they are computed."""
        # Where the pixels are not pinned, torch copies them before it returns.
        x = self.pixels.to(device, non_blocking=True)
        if self.rows is None or self.columns is None:
            return x
        return self.rows.applied(self.columns.applied(x, axis=2), axis=1)


def network_input(images: Sequence[np.ndarray], sizes: list[tuple[int, int]], device: torch.device) -> Tensor:
    """Resize RGB images, uint8 (H, W, 3), each to its (h, w), and stack them for the network.

    Returns:
        float32 (B, 3, h', w') BGR less the mean, zero in the padding to the common multiples of 32.
    """
    return to_network(make_canvas(images, sizes, device), device)


def make_canvas(images: Sequence[np.ndarray], sizes: list[tuple[int, int]], device: torch.device) -> Canvas:
    """Return RGB images, uint8 (H, W, 3), that are resized here or on the device, each to its (h, w).

    A GPU resizes what has no more pixels than the result: it does so in a fraction of the time, and less is copied. The
    bytes are the same.
    """
    grows = all(image.shape[0] <= h and image.shape[1] <= w for image, (h, w) in zip(images, sizes, strict=True))
    if device.type == "cuda" and grows:
        return as_read(images, sizes, pinned=True)
    return resized_here(images, sizes, pinned=device.type == "cuda")


def as_read(images: Sequence[np.ndarray], sizes: list[tuple[int, int]], pinned: bool = False) -> Canvas:
    """Return the images as they are, with how the device enlarges them.

    Args:
        pinned: in memory that a GPU can read while the processor continues.
    """
    heights, widths = [image.shape[0] for image in images], [image.shape[1] for image in images]
    pixels = torch.zeros((len(images), max(heights), max(widths), 3), dtype=torch.uint8, pin_memory=pinned)
    for row, image in zip(pixels.numpy(), images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    height, width = padded_size(max(h for h, _ in sizes), max(w for _, w in sizes))
    rows = BatchTaps(heights, [h for h, _ in sizes], height)
    return Canvas(pixels, sizes, rows, BatchTaps(widths, [w for _, w in sizes], width))


def resized_here(images: Sequence[np.ndarray], sizes: list[tuple[int, int]], pinned: bool = False) -> Canvas:
    """Return the images resized by threads, with 0 in the padding; `pinned` as for `as_read`."""
    height, width = padded_size(max(h for h, _ in sizes), max(w for _, w in sizes))
    pixels = torch.zeros((len(images), height, width, 3), dtype=torch.uint8, pin_memory=pinned)
    # PIL releases the lock while it resizes. The number of threads is not torch's, which is 1 in most data loaders.
    with ThreadPoolExecutor(min(RESIZING_THREADS, usable_cores())) as pool:
        for row, resized in zip(pixels.numpy(), pool.map(resize, images, sizes), strict=True):
            row[: resized.shape[0], : resized.shape[1]] = resized
    return Canvas(pixels, sizes)


def to_network(canvas: Canvas, device: torch.device) -> Tensor:
    """Return what `network_input` returns, of a canvas."""
    x = canvas.on(device).flip(-1).permute(0, 3, 1, 2)  # (B, 3, h', w'), BGR
    height, width = x.shape[2:]
    x = x.float() - constant(PIXEL_MEAN, x.device)[:, None, None]
    # The network was trained with padding of 0 after the mean is subtracted, not of black pixels.
    same = len(set(canvas.sizes)) == 1
    for rows, (h, w) in [(x, canvas.sizes[0])] if same else zip(x, canvas.sizes, strict=True):
        if h < height:
            rows[..., h:, :] = 0
        if w < width:
            rows[..., w:] = 0
    return x


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 (H, W, 3) to `size` (h, w), bilinearly by PIL, as the public checkpoints were trained."""
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def check_image(image: np.ndarray) -> None:
    """Raise ImageError unless `image` is uint8 (H, W, 3) with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"Expected an image as uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}. "
            "Read it with dsa_data.images, which converts grey, RGBA and 16-bit files."
        )
