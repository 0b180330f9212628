"""Crop, flip, random erasing, normalisation and fill, for a whole batch on the device where it is.

Sampling and computing stand apart: `sample_augmentation` takes a batch's random numbers from a generator of its own,
always on the CPU, so that a run sees the same images on every device; `augment` applies them. Every image has random
numbers of its own, and the arithmetic is on whole batches, without a Python loop over images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from dsa_app.errors import ConfigError
from dsa_app.wording import shown
from dsa_data.charts import CHARTS
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.upload import upload
from dsap.config import Parts
from dsap.mirror import read_symmetry, texel_permutation

from .config import AugmentConfig
from .dataset import Batch
from .jitter import jitter
from .policy import Operations, sample_operations

TRIES = 20  # boxes sampled for each image, of which the first that fits into it is erased


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random numbers of a batch of B images.

    Args:
        flip: bool (B,).
        crop: int64 (B, 2), top and left of the crop within the padded image.
        erased: int64 (B, 4), top, left, bottom, right of the box to erase, end excluded; empty where there is none.
        colours: float32 (B, 3), factors of brightness, contrast and saturation; None for no jitter.
        dropped: bool (B, 24), charts that the guide is not shown; None to show all.
        unguided: bool (B,), images whose z is f alone; None for none.
        operations: of AutoAugment or RandAugment, of each image, applied before all others; None without a policy.
    """

    flip: torch.Tensor
    crop: torch.Tensor
    erased: torch.Tensor
    colours: torch.Tensor | None = None
    dropped: torch.Tensor | None = None
    unguided: torch.Tensor | None = None
    operations: Operations | None = None

    def to(self, device: torch.device) -> Augmentation:
        """Return the same numbers on another device."""
        return self._map(lambda numbers: upload(numbers, device))

    def of(self, images: slice) -> Augmentation:
        """Return the numbers of some of the images."""
        own = None if self.operations is None else self.operations[images]
        return dataclasses.replace(self._map(lambda numbers: numbers[images]), operations=own)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Augmentation:
        colours, dropped, unguided = (
            None if numbers is None else change(numbers) for numbers in (self.colours, self.dropped, self.unguided)
        )
        needed = change(self.flip), change(self.crop), change(self.erased)
        return Augmentation(*needed, colours, dropped, unguided, self.operations)


def sample_augmentation(
    B: int, H: int, W: int, config: AugmentConfig, generator: torch.Generator, drop: float = 0.0
) -> Augmentation:
    """Sample the augmentation of B images of H×W pixels from a CPU generator.

    Args:
        drop: probability that an image has no guide.
    """
    flip = torch.rand(B, generator=generator) < config.flip
    crop = torch.randint(0, 2 * config.pad + 1, (B, 2), generator=generator)
    boxes = _sample_boxes(B, H, W, config, generator)
    # Sampled last, and only if asked for: runs with and without jitter share all other random numbers.
    colours = dropped = unguided = operations = None
    if any(config.jitter):
        colours = 1 + (2 * torch.rand(B, 3, generator=generator) - 1) * torch.tensor(config.jitter)
    if config.drop_charts:
        dropped = torch.rand(B, CHARTS, generator=generator) < config.drop_charts
    if drop:
        unguided = torch.rand(B, generator=generator) < drop
    if config.policy != "none":
        operations = sample_operations(B, H, W, config, generator)
    return Augmentation(flip, crop, boxes, colours, dropped, unguided, operations)


def _sample_boxes(B: int, H: int, W: int, config: AugmentConfig, generator: torch.Generator) -> torch.Tensor:
    """Sample the box to erase of each image, as `Augmentation.erased`: int64 (B, 4), zeros for none."""
    spared = torch.rand(B, generator=generator) >= config.erase
    # Zhong et al. sample boxes until one fits. Here each image has TRIES candidates at once, and the first that fits is
    # taken; an image of whose candidates none fits is spared.
    share, ratio, down, along = torch.rand(4, B, TRIES, generator=generator, dtype=torch.float64)
    area = torch.lerp(*_ends(config.erase_area), share) * H * W
    aspect = torch.lerp(*_ends(config.erase_aspect), ratio)
    height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()  # (B, TRIES)
    fits = (height >= 1) & (width >= 1) & (height <= H) & (width <= W)
    first = fits.int().argmax(1, keepdim=True)
    spared |= ~fits.any(1)
    height, width, down, along = (value.gather(1, first).squeeze(1) for value in (height, width, down, along))
    top, left = (down * (H - height + 1)).floor(), (along * (W - width + 1)).floor()
    boxes = torch.stack([top, left, top + height, left + width], 1).long()
    return boxes.masked_fill(spared[:, None], 0)


def _ends(interval: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = interval
    return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


def augment(
    batch: Batch, sampled: Augmentation, pad: int, mirror: torch.Tensor, preprocessing: Preprocessing
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Augment and normalise a batch, all on one device.

    Args:
        batch: B images, with or without their DSAP.
        sampled: the random numbers, of B images.
        pad: the configuration's, with which `sampled.crop` was sampled.
        mirror: int64 (24·S·S), which texel takes each one's position in a flipped image, see `mirror_table`.

    Returns:
        Normalised images, float32 (B, 3, H, W), and part images, float32 (B, 24, 3, S, S), None without a DSAP.
    """
    if sampled.colours is not None:
        batch = jitter(batch, sampled.colours)
    images = erase(preprocessing.normalise(crop_and_flip(batch.images, sampled, pad)), sampled)
    if batch.texels is None or batch.valid is None:
        return images, None
    texels, valid = mirrored(batch.texels, batch.valid, sampled.flip, mirror)
    if sampled.dropped is not None:
        valid = valid * ~sampled.dropped[:, :, None, None]
    return images, fill(texels, valid, preprocessing)


def crop_and_flip(images: torch.Tensor, sampled: Augmentation, pad: int) -> torch.Tensor:
    """Crop, then flip: uint8 (B, H, W, C) to the same."""
    B, H, W, _ = images.shape
    rows = sampled.crop[:, :1] + torch.arange(H, device=images.device)  # (B, H)
    columns = sampled.crop[:, 1:] + torch.arange(W, device=images.device)  # (B, W)
    columns = torch.where(sampled.flip[:, None], columns.flip(1), columns)
    padded = F.pad(images, (0, 0, pad, pad, pad, pad))
    # One gather crops and flips: output pixel (y, x) of an image is padded pixel (rows[y], columns[x]).
    each = torch.arange(B, device=images.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]]


def erase(images: torch.Tensor, sampled: Augmentation) -> torch.Tensor:
    """Set the boxes to 0, the mean, in normalised images (B, 3, H, W)."""
    return images.masked_fill(inside_boxes(images.shape[2:], sampled)[:, None], 0)


def inside_boxes(size: Sequence[int], sampled: Augmentation) -> torch.Tensor:
    """Return which pixels of B images of a height and width are in the box to erase: bool (B, H, W)."""
    top, left, bottom, right = sampled.erased[:, :, None].unbind(1)  # (B, 1) each
    y = torch.arange(size[0], device=sampled.erased.device)
    x = torch.arange(size[1], device=sampled.erased.device)
    return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]


def mirror_table(parts: Parts, size: int, symmetry: Path | None = None) -> torch.Tensor:
    """Return which texel takes each one's position in a flipped image: int64 (24·S·S), over (24, S, S).

    Args:
        parts: of `dsap.config.WarpConfig`.
        size: S.
        symmetry: DensePose's table of symmetric points, for fine parts; None for the rule.

    Raises ConfigError for a table that cannot be read, or one with coarse parts.
    """
    if symmetry and parts != "fine":
        raise ConfigError(
            f"train.augment.symmetry is for DensePose's 24 charts, and the DSAP has parts {shown(parts)}. "
            "Set it to null."
        )
    table = read_symmetry(symmetry) if symmetry else None
    return torch.from_numpy(texel_permutation(size, parts, table).copy())


def mirrored(
    texels: torch.Tensor, valid: torch.Tensor, flip: torch.Tensor, mirror: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror the DSAP of the flipped images: texels (B, 24, S, S, 3), valid (B, 24, S, S)."""
    B, L = len(flip), len(mirror)
    # Flipping swaps left and right charts and mirrors each in itself: one permutation of the 24·S·S texels of an image,
    # the identity where it is not flipped. With an offset for each image it is one gather over the batch.
    source = torch.where(flip[:, None], mirror, torch.arange(L, device=mirror.device))  # (B, 24·S·S)
    source = (source + L * torch.arange(B, device=mirror.device)[:, None]).flatten()
    return (
        texels.flatten(0, 3).index_select(0, source).view_as(texels),
        valid.flatten().index_select(0, source).view_as(valid),
    )


def fill(texels: torch.Tensor, valid: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Normalise part images; a texel that is not valid becomes exactly 0, the mean.

    Args:
        texels: uint8 (B, 24, S, S, 3), RGB.
        valid: bool (B, 24, S, S), or uint8, weights in 255ths, with which a texel comes nearer to the mean.

    Returns:
        float32 (B, 24, 3, S, S).
    """
    colours = preprocessing.normalise(texels.flatten(0, 1)).unflatten(0, texels.shape[:2])  # (B, 24, 3, S, S)
    shown = valid if valid.dtype == torch.bool else valid.to(colours.dtype) / 255
    filled: torch.Tensor = colours.mul_(shown[:, :, None])
    return filled
