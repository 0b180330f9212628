"""The learning rate as a pure function of the epoch (section 4.2 of the paper)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config


@config
class ScheduleConfig:
    """How the learning rate rises and falls; the defaults are the paper's.

    Attributes:
        lr: the learning rate after the warm-up.
        warmup: epochs in which it rises linearly.
        warmup_lr: the learning rate at the start of the warm-up.
        decay: what it is multiplied by at each fall.
        decay_every: epochs between two falls, counted from the end of the warm-up.
        steps: epochs done when the rate falls by `decay`, in the place of `decay_every`; counted from the start, as the
            field's recipes do.
        fall: "steps" is the paper's; "cosine" falls along half a cosine (Loshchilov and Hutter 2017, equation 5,
            without restarts) from the end of the warm-up until `end` epochs are done, and stays at `least`.
    """

    lr: PositiveFloat = 8e-4
    warmup: NonNegativeInt = 20  # epochs of linear rise
    warmup_lr: PositiveFloat = 8e-6
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    decay_every: PositiveInt = 40  # epochs, counted from the end of the warm-up
    steps: tuple[PositiveInt, ...] = ()
    fall: Literal["steps", "cosine"] = "steps"
    end: PositiveInt = 320  # epochs, of the cosine
    least: NonNegativeFloat = 0.0  # of the cosine

    def __post_init__(self) -> None:
        """Check that a cosine has epochs left after the warm-up, and that no step is within it."""
        if self.steps and (self.fall == "cosine" or min(self.steps) < self.warmup):
            raise ValueError(f"steps = {list(self.steps)} needs fall = steps, and no step before epoch {self.warmup}")
        if self.fall == "cosine" and self.end <= self.warmup:
            raise ValueError(f"fall = cosine needs more epochs (end = {self.end}) than the warm-up ({self.warmup})")


def learning_rate(epoch: int, config: ScheduleConfig) -> float:
    """Return the rate of one epoch, counted from 0: of the epoch after `epoch` epochs are done.

    It starts at `warmup_lr`, reaches `lr` when `warmup` epochs are done, and is halved after epochs 60, 100, 140, ...
    of the paper's run; or falls along a cosine.
    """
    if epoch < config.warmup:
        return config.warmup_lr + (config.lr - config.warmup_lr) * epoch / config.warmup
    if config.fall == "cosine":
        done = min((epoch - config.warmup) / (config.end - config.warmup), 1.0)
        return config.least + (config.lr - config.least) * (1 + math.cos(math.pi * done)) / 2
    if config.steps:
        return config.lr * config.decay ** sum(epoch >= step for step in config.steps)
    return config.lr * config.decay ** ((epoch - config.warmup) // config.decay_every)


def region_rate(epoch: int, lr: float, config: ScheduleConfig) -> float:
    """Return the region heads' rate of one epoch: `lr` until the warm-up's end, since the heads are fitted before it.

    From then on it falls as the schedule's does.
    """
    return lr * learning_rate(max(epoch, config.warmup), config) / config.lr


def ramp(epoch: int, epochs: int) -> float:
    """Return the weight of region pooling against the average in one epoch: from 0 linearly to 1 after `epochs`."""
    return min(1.0, epoch / epochs) if epochs else 1.0
