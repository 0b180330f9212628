"""What the guide is shown, and how much it counts: the paper's way by default, controls and fading by option."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from pydantic import NonNegativeInt

from dsa_app.config import config
from dsa_app.errors import TrainingError

from .dataset import Batch

Shown = Literal["own", "nothing", "another"]


@config
class GuidanceConfig:
    """The guide's part in training.

    Attributes:
        shown: the part pictures of the picture itself, or for controls none ("nothing": all texels are the mean) or
            those of another identity's picture in the batch, another one each time ("another").
        fade: epochs done when the weight of d in z begins to fall, and when it has come to 0, linearly in between;
            None keeps it at 1. What the main stream is asked for then becomes what it is matched by.
    """

    shown: Shown = "own"
    fade: tuple[NonNegativeInt, NonNegativeInt] | None = None

    def __post_init__(self) -> None:
        """Check that fading goes forward."""
        if self.fade and self.fade[0] >= self.fade[1]:
            raise ValueError(f"fade = {list(self.fade)} ends before it begins")


def guide_weight(epoch: int, config: GuidanceConfig) -> float:
    """Return the weight of d in z in one epoch, counted from 0."""
    if config.fade is None:
        return 1.0
    begin, end = config.fade
    return min(1.0, max(0.0, (end - epoch) / (end - begin)))


def shown(batch: Batch, what: Shown, K: int) -> Batch:
    """Return the batch with the part pictures that the guide is to see.

    Args:
        batch: whole identities side by side, K pictures each. Of several processes each has its own, and exchanges
            part pictures among those.

    Raises TrainingError where there is one identity alone, and no other to take part pictures from.
    """
    if what == "own" or batch.texels is None or batch.valid is None:
        return batch
    if what == "nothing":
        return dataclasses.replace(batch, valid=torch.zeros_like(batch.valid))
    others = torch.tensor(another(len(batch) // K, K), device=batch.texels.device)
    return Batch(batch.images, batch.texels[others], batch.valid[others])


def another(P: int, K: int) -> list[int]:
    """Return for each place of a batch one of another identity: picture k of p takes that of p + 1, p + 2, … in turn.

    So the pictures of one identity see parts of K different ones while there are as many, and no place is taken twice.
    """
    if P < 2:
        raise TrainingError(
            "guidance.shown = another needs two identities in a process's batch. Raise train.identities."
        )
    return [(p + 1 + k % (P - 1)) % P * K + k for p in range(P) for k in range(K)]
