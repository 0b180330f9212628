"""Which part images the guide sees, and its weight: the paper's way by default, controls and fading by option."""

from __future__ import annotations

import dataclasses

import torch

from dsa_app.errors import TrainingError

from .config import GuidanceConfig, Shown
from .dataset import Batch


def guide_weight(epoch: int, config: GuidanceConfig) -> float:
    """Return the weight of d in z in one epoch, counted from 0."""
    if config.fade is None:
        return 1.0
    begin, end = config.fade
    # 1 until `begin`, 0 from `end` on, linear in between.
    return min(1.0, max(0.0, (end - epoch) / (end - begin)))


def with_shown_parts(batch: Batch, shown: Shown, K: int) -> Batch:
    """Return the batch with the part images that the guide is to see.

    Args:
        batch: whole identities side by side, K images each. Where several processes share the step, each has its own
            identities, and part images are exchanged among those.

    Raises TrainingError for "another" where the batch has one identity alone.
    """
    if shown == "own" or batch.texels is None or batch.valid is None:
        return batch
    if shown == "nothing":
        # Texels that are not valid become the mean when they are normalised (`augment.fill`).
        return dataclasses.replace(batch, valid=torch.zeros_like(batch.valid))
    others = torch.tensor(of_another_identity(len(batch) // K, K), device=batch.texels.device)
    return dataclasses.replace(batch, texels=batch.texels[others], valid=batch.valid[others])


def of_another_identity(P: int, K: int) -> list[int]:
    """Return for each index of a batch of P·K the index of an image of another identity; no index comes twice.

    The images of one identity get those of K different identities while there are as many. Raises TrainingError for
    P < 2.
    """
    if P < 2:
        raise TrainingError(
            "train.guidance.shown=another needs at least two identities in a process's batch. Raise train.identities."
        )
    # Image k of identity p takes image k of identity p + 1 + k, going round and leaving out p itself: for a fixed k a
    # shift of the identities by 1 … P - 1, so nothing is taken twice.
    return [(p + 1 + k % (P - 1)) % P * K + k for p in range(P) for k in range(K)]
