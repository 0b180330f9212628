"""AutoAugment and RandAugment by torchvision for a whole batch: images, part images and labels of regions alike.

What moves pixels moves the labels with them and leaves the part images, whose texels have their place on the body and
not in the image. What changes colours changes the texels as the image's pixels of the same colour, and leaves labels.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torchvision.transforms import AutoAugment, InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.functional import rgb_to_grayscale

from dsa_data.charts import NO_MAP

from .config import AugmentConfig
from .dataset import Batch

MAGNITUDES = 31  # steps that RandAugment's magnitude counts, as in torchvision
LEVELS = 10  # steps that the magnitudes of AutoAugment's policy count
MOVING = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
NEIGHBOURS = "Sharpness"  # is of neighbouring pixels, and neighbouring texels are not neighbours in the image
WHITE = 255


class Operation(NamedTuple):
    """One of torchvision's operations, with its signed magnitude."""

    name: str
    magnitude: float


Operations = tuple[tuple[Operation, ...], ...]  # of each image, in the order in which they are applied


def sample_operations(B: int, H: int, W: int, config: AugmentConfig, generator: torch.Generator) -> Operations:
    """Sample the operations of B images of H×W pixels from a CPU generator.

    AutoAugment (Cubuk et al. 2019, section 3) takes one of the 25 sub-policies that were found for ImageNet, and each
    of its two operations with the probability given there. RandAugment (Cubuk et al. 2020, section 3) takes
    `config.operations` of the 14 with `config.magnitude`. Tables, ranges and signs are torchvision's.
    """
    changed = torch.rand(B, generator=generator) < config.policy_share
    # Numbers are sampled also for images that stay as they are, so that the share does not change the others.
    if config.policy == "autoaugment":
        table, places = _autoaugment(H, W), 2
        first = places * torch.randint(len(table) // places, (B, 1), generator=generator)
        chosen, number = first + torch.arange(places), torch.rand(B, places, generator=generator)
    else:
        table, places = _randaugment(H, W, config.magnitude), config.operations
        chosen, number = torch.randint(len(table), (B, places), generator=generator), torch.zeros(B, places)
    sign = torch.randint(2, (B, places), generator=generator)
    rows = zip(chosen.tolist(), number.tolist(), sign.tolist(), changed.tolist(), strict=True)
    return tuple(_taken([table[index] for index in own], *more) if change else () for own, *more, change in rows)


class Entry(NamedTuple):
    """A line of a policy: an operation, the probability that it is applied, and whether its sign is sampled."""

    name: str
    magnitude: float
    probability: float
    signed: bool


def _taken(entries: list[Entry], numbers: list[float], signs: list[int]) -> tuple[Operation, ...]:
    """Return the operations of those entries whose probability is not below their number, negative for the sign 0."""
    return tuple(
        Operation(entry.name, -entry.magnitude if entry.signed and not sign else entry.magnitude)
        for entry, number, sign in zip(entries, numbers, signs, strict=True)
        if number <= entry.probability
    )


@functools.cache
def _autoaugment(H: int, W: int) -> list[Entry]:
    """Return the operations of the 25 sub-policies for images of H×W pixels, two of each side by side."""
    policy = AutoAugment()
    magnitudes = policy._augmentation_space(LEVELS, (H, W))
    return [
        _entry(name, magnitudes[name], level, probability)
        for sub_policy in policy.policies
        for name, probability, level in sub_policy
    ]


@functools.cache
def _randaugment(H: int, W: int, magnitude: int) -> list[Entry]:
    """Return the 14 operations for images of H×W pixels."""
    magnitudes = RandAugment()._augmentation_space(MAGNITUDES, (H, W))
    return [_entry(name, values, magnitude, 1.0) for name, values in magnitudes.items()]


def _entry(name: str, magnitudes: tuple[torch.Tensor, bool], level: int | None, probability: float) -> Entry:
    """Return a line, with the magnitude of a level where the operation has levels."""
    values, signed = magnitudes
    magnitude = float(values[level]) if level is not None and values.ndim else 0.0
    return Entry(name, magnitude, probability, signed)


def apply_operations(batch: Batch, operations: Operations) -> Batch:
    """Return a batch after the operations of each of its images; black comes in where pixels are moved out.

    The arithmetic is on all images together that have the same operation at the same place.
    """
    changed = batch.map(torch.Tensor.clone)
    for place in range(max(map(len, operations), default=0)):
        at_place = [own[place] if place < len(own) else None for own in operations]
        for operation in dict.fromkeys(one for one in at_place if one is not None):
            chosen = [index for index, one in enumerate(at_place) if one == operation]
            rows = torch.tensor(chosen, device=batch.images.device)
            result = _applied(changed.map(lambda tensor, rows=rows: tensor[rows]), operation)  # type: ignore[misc]
            for whole, own in zip(changed.tensors(), result.tensors(), strict=True):
                whole[rows] = own
    return changed


def _applied(batch: Batch, operation: Operation) -> Batch:
    """Return a batch after one operation on all of its images."""
    images = batch.images.movedim(3, 1)  # (B, 3, H, W)
    changed = _recoloured(images, images, operation).movedim(1, 3)
    texels, regions, sure = batch.texels, batch.regions, batch.region_confidence
    if regions is not None and operation.name in MOVING:
        regions = _moved(regions, operation)
    if sure is not None and operation.name in MOVING:
        sure = 255 - _torchvision(255 - sure[:, None], operation)[:, 0]  # what comes in is surely background
    if texels is not None and operation.name not in (*MOVING, NEIGHBOURS):
        pixels = texels.flatten(1, 3).movedim(2, 1)[:, :, None]  # (B, 24, S, S, 3) -> (B, 3, 1, 24·S·S)
        texels = _recoloured(pixels, images, operation)[:, :, 0].movedim(1, 2).reshape(texels.shape)
    return dataclasses.replace(batch, images=changed, texels=texels, regions=regions, region_confidence=sure)


def _torchvision(images: torch.Tensor, operation: Operation) -> torch.Tensor:
    """Apply an operation to uint8 images (B, C, H, W), with the nearest pixel where they are moved, as torchvision."""
    changed: torch.Tensor = _apply_op(images, *operation, interpolation=InterpolationMode.NEAREST, fill=None)
    return changed


def _moved(regions: torch.Tensor, operation: Operation) -> torch.Tensor:
    """Move labels uint8 (B, H, W) as their images; what comes in is background, an image without a map has none."""
    unknown = (regions == NO_MAP).flatten(1).all(1)
    return _torchvision(regions[:, None], operation)[:, 0].masked_fill(unknown[:, None, None], NO_MAP)


def _recoloured(pixels: torch.Tensor, images: torch.Tensor, operation: Operation) -> torch.Tensor:
    """Apply an operation to pixels of images: the images themselves, or part images that were sampled from them.

    Args:
        pixels: uint8 (B, 3, h, w).
        images: before the operation, uint8 (B, 3, H, W).
    """
    of_images: dict[str, Callable[..., torch.Tensor]] = {
        "Contrast": _contrast, "AutoContrast": _autocontrast, "Equalize": _equalise,
    }  # fmt: skip
    if operation.name in of_images:
        return of_images[operation.name](pixels, images, operation.magnitude)
    return _torchvision(pixels, operation)


# The three operations that depend on the whole image, in torchvision's arithmetic, which is for that image alone.


def _contrast(pixels: torch.Tensor, images: torch.Tensor, magnitude: float) -> torch.Tensor:
    """Stretch around the images' mean grey."""
    grey: torch.Tensor = rgb_to_grayscale(images)
    mean, ratio = grey.float().mean((1, 2, 3), keepdim=True), 1 + magnitude
    return (ratio * pixels + (1 - ratio) * mean).clamp(0, WHITE).to(torch.uint8)


def _autocontrast(pixels: torch.Tensor, images: torch.Tensor, _: Any) -> torch.Tensor:
    """Stretch each colour from the least and greatest value in the images to 0 and 255."""
    low, high = images.amin((2, 3), keepdim=True).float(), images.amax((2, 3), keepdim=True).float()
    flat = low == high
    scale = torch.where(flat, 1.0, WHITE / (high - low).masked_fill(flat, 1))
    return ((pixels - low.masked_fill(flat, 0)) * scale).clamp(0, WHITE).to(torch.uint8)


def _equalise(pixels: torch.Tensor, images: torch.Tensor, _: Any) -> torch.Tensor:
    """Give each colour the share of the images' pixels that have less of it."""
    tables = torch.stack([_equal_shares(plane) for plane in images.flatten(0, 1)])  # (B·3, 256)
    values = pixels.flatten(0, 1).flatten(1).long()
    return tables.gather(1, values).view_as(pixels)


def _equal_shares(plane: torch.Tensor) -> torch.Tensor:
    """Return the new value of each of the 256 values by the histogram of a plane uint8 (H, W)."""
    histogram = plane.flatten().long().bincount(minlength=WHITE + 1)
    step = (histogram.sum() - histogram[plane.max().long()]) // WHITE
    below = F.pad(histogram.cumsum(0)[:-1], (1, 0))  # pixels of lower values
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, WHITE)
    return torch.where(step == 0, torch.arange(WHITE + 1, device=plane.device), table).to(torch.uint8)
