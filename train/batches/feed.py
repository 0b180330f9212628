"""What the network is fed at each place in a run: a function of the data, the seed and the place alone.

A run that goes on in the middle of an epoch therefore needs nothing of what was drawn before.
"""

from __future__ import annotations

import dataclasses
import hashlib

import torch

from ..config import TrainConfig
from ..evaluation.retrieval import Retrieval
from .augment import augment, draw
from .dataset import Batch, Images
from .guidance import shown
from .sampler import epoch_batches


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """What a network is trained on.

    Args:
        pictures: N, with their DSAP if the network has a guide.
        labels: int64 (N,), identities numbered from 0.
        mirror: int64 (24·S·S), which texel takes each one's place in a flipped picture.
        retrieval: query and gallery, measured for the log now and then; None for never.
    """

    pictures: Images
    labels: torch.Tensor
    mirror: torch.Tensor
    retrieval: Retrieval | None = None

    @property
    def identities(self) -> int:
        """How many there are."""
        return int(self.labels.max()) + 1


def epoch_order(data: TrainingSet, config: TrainConfig, epoch: int) -> torch.Tensor:
    """Return the batches of one epoch as places of pictures: int64 (steps, B), B = P·K. Raises TrainingError."""
    return epoch_batches(data.labels, config.identities, config.pictures, generator(config.seed, "batches", epoch))


def feed(
    batch: Batch, data: TrainingSet, config: TrainConfig, epoch: int, step: int, own: slice = slice(None)
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Augment a batch, on the device where it lies, by the draws of one step.

    Args:
        own: which pictures of the step's P·K those of `batch` are, where other processes have the rest.

    Returns:
        Normalised pictures, float32 (B, 3, H, W), and part pictures, float32 (B, 24, 3, S, S), or None.
    """
    device = batch.images.device
    _, H, W, _ = batch.images.shape
    B = config.identities * config.pictures
    draws = draw(B, H, W, config.augment, generator(config.seed, "augment", epoch, step)).of(own).to(device)
    batch = shown(batch, config.guidance.shown, config.pictures)
    return augment(batch, draws, config.augment.pad, data.mirror.to(device), data.pictures.preprocessing)


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose, as in (seed, "augment", epoch, step)."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]))
