"""The learning rate as a pure function of the epoch (section 4.1 of the paper)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from data.config import config


@config
class ScheduleConfig:
    """How the learning rate rises and falls; the paper's numbers."""

    lr: PositiveFloat = 8e-4
    warmup: NonNegativeInt = 20  # epochs of linear rise
    warmup_lr: PositiveFloat = 8e-6
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    decay_every: PositiveInt = 40  # epochs, counted from the end of the warm-up


def learning_rate(epoch: int, config: ScheduleConfig) -> float:
    """Return the rate of one epoch, counted from 0, so that `epoch` epochs are behind it.

    It starts at `warmup_lr`, reaches `lr` when `warmup` epochs are done, and is halved after epochs 60, 100, 140, ...
    of the paper's run.
    """
    if epoch < config.warmup:
        return config.warmup_lr + (config.lr - config.warmup_lr) * epoch / config.warmup
    return config.lr * config.decay ** ((epoch - config.warmup) // config.decay_every)
