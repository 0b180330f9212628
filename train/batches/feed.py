"""The input of the network at each step of a run: a function of the data, the seed, the epoch and the step alone.

A run resumed in the middle of an epoch therefore needs no state of the random numbers sampled before.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import torch

from dsa_reid.upload import upload

from .augment import augment, sample_augmentation
from .config import BatchSettings
from .dataset import Batch, Images
from .guidance import with_shown_parts
from .policy import apply_operations
from .regions import moved, moved_confidence
from .sampler import epoch_batches


class Inputs(NamedTuple):
    """What a batch of B images gives to the network and to the losses.

    Args:
        images: normalised, float32 (B, 3, H, W).
        parts: part images, float32 (B, 24, 3, S, S); None for a network without a guide.
        regions: labels, uint8 (B, H, W), see `batches.regions`; None for a network that has none.
        unguided: bool (B,), images whose z is f alone; None for none.
        region_confidence: of `regions`, uint8 (B, H, W); None where the loss does not weight by it.
        cameras: int64 (B,), the index of each image's camera; None for a network that has no embedding of it.
    """

    images: torch.Tensor
    parts: torch.Tensor | None = None
    regions: torch.Tensor | None = None
    unguided: torch.Tensor | None = None
    region_confidence: torch.Tensor | None = None
    cameras: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The images that a network is trained on.

    Args:
        images: N, with their DSAP if the network has a guide, and labels if it predicts regions.
        labels: int64 (N,), identities numbered from 0.
        mirror: int64 (24·S·S), which texel takes each one's position in a flipped image, see `augment.mirror_table`.
        templates: the mean label map at each stride of the region heads, float32 (9, h, w); empty without labels.
        cameras: int64 (N,), the index of each image's camera in the network's; None where it has no embedding of it.
    """

    images: Images
    labels: torch.Tensor
    mirror: torch.Tensor
    templates: Mapping[int, torch.Tensor] = dataclasses.field(default_factory=dict)
    cameras: torch.Tensor | None = None

    @property
    def identities(self) -> int:
        """Number of identities."""
        return int(self.labels.max()) + 1


def epoch_order(data: TrainingSet, config: BatchSettings, epoch: int) -> torch.Tensor:
    """Return the batches of one epoch as indices of images: int64 (steps, B), B = P·K. Raises TrainingError."""
    return epoch_batches(data.labels, config.identities, config.pictures, generator(config.seed, "batches", epoch))


def feed(
    batch: Batch, data: TrainingSet, config: BatchSettings, epoch: int, step: int, own: slice = slice(None)
) -> Inputs:
    """Augment a batch with the random numbers of one step, on the device where it is.

    Args:
        own: which images of the step's P·K those of `batch` are, where other processes have the rest.
    """
    device = batch.images.device
    _, H, W, _ = batch.images.shape
    B = config.identities * config.pictures
    # Sampled for the whole step, then cut to this process's share: the numbers do not depend on how many share it.
    random = generator(config.seed, "augment", epoch, step)
    sampled = sample_augmentation(B, H, W, config.augment, random, config.guidance.drop)
    sampled = sampled.of(own).to(device)
    batch = with_shown_parts(batch, config.guidance.shown, config.pictures)
    if sampled.operations is not None:
        batch = apply_operations(batch, sampled.operations)
    preprocessing = data.images.preprocessing
    images, parts = augment(batch, sampled, config.augment.pad, upload(data.mirror, device), preprocessing)
    regions, sure = batch.regions, batch.region_confidence
    return Inputs(
        images,
        parts,
        None if regions is None else moved(regions, sampled, config.augment.pad),
        sampled.unguided,
        None if sure is None else moved_confidence(sure, sampled, config.augment.pad),
    )


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose, as in (seed, "augment", epoch, step)."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]))
