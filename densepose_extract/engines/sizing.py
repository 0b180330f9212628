"""Pictures made ready for the network: resized, batched by size, padded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dsa_app.errors import ImageError

from ..network.model import PIXEL_MEAN

MULTIPLE = 32  # the coarsest stride that the pyramid adds up over
CROP = 256 * 512  # padded pixels of a usual crop (1 : 2) at shortest side 256: the unit of a batch's size


def resized(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Return height and width with the shortest side `min_size`, the longest at most `max_size`, never 0."""
    scale = min_size / min(height, width)
    h, w = (min_size, scale * width) if height < width else (scale * height, min_size)
    if max(h, w) > max_size:
        shrink = max_size / max(h, w)
        h, w = h * shrink, w * shrink
    return max(1, int(h + 0.5)), max(1, int(w + 0.5))


def padded(height: int, width: int) -> tuple[int, int]:
    """Return height and width rounded up to multiples of 32."""
    return -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE


def batches(sizes: Sequence[tuple[int, int]], min_size: int, max_size: int, batch: int) -> list[list[int]]:
    """Group pictures (height, width) by their padded size into batches of indices, smallest size first.

    Pictures of one padded size get the padding that each would get alone, so that a batch changes no answer
    but for rounding. A batch holds as many pixels as `batch` pictures of 256 × 512, and at least one picture.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (height, width) in enumerate(sizes):
        groups[padded(*resized(height, width, min_size, max_size))].append(index)
    result: list[list[int]] = []
    for (height, width), members in sorted(groups.items()):
        count = max(1, min(batch, batch * CROP // (height * width)))
        result.extend(members[i : i + count] for i in range(0, len(members), count))
    return result


def pixels(pictures: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], device: torch.device | str) -> Tensor:
    """Resize RGB pictures, uint8 (H, W, 3), each to its (h, w), and stack them for the network.

    Returns:
        float32 (B, 3, h', w') BGR less the mean, zero in the padding to the common multiples of 32.
    """
    height, width = padded(max(h for h, _ in sizes), max(w for _, w in sizes))
    canvas = np.zeros((len(pictures), height, width, 3), np.uint8)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # PIL lets other threads run while it resizes
        for row, small in zip(canvas, pool.map(resize, pictures, sizes), strict=True):
            row[: small.shape[0], : small.shape[1]] = small
    x = torch.from_numpy(canvas).to(device).flip(-1).permute(0, 3, 1, 2)  # (B, 3, h', w'), BGR
    x = x.float() - torch.tensor(PIXEL_MEAN, device=device)[:, None, None]
    for row, (h, w) in zip(x, sizes, strict=True):
        row[:, h:] = 0
        row[:, :, w:] = 0
    return x


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 (H, W, 3) to `size` (h, w), bilinearly as PIL does it, which is part of the model's recipe."""
    height, width = size
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def check(picture: np.ndarray) -> None:
    """Raise ImageError unless `picture` is uint8 (H, W, 3) with at least one pixel."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ImageError(
            f"Expected a picture as uint8 (H, W, 3) RGB, got {picture.dtype} {picture.shape}. "
            "Read it with data.images, which converts grey, RGBA and 16-bit files."
        )
