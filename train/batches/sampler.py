"""Batches of P identities with K pictures each, for the batch-hard triplet loss (Hermans et al., 2017).

An epoch draws every identity until its pictures are used up, and every batch has exactly P identities. An identity's
pictures are shuffled and dealt into groups of K; the last group is filled up with others of its own pictures, so an
identity with fewer than K has them repeated. Each batch then takes a group of P identities, drawn at random among those
that have groups left. Two rules make both promises hold at once: an identity with as many groups left as batches
remain must be drawn now, and where fewer than P have any left, others are drawn a second time.
"""

from __future__ import annotations

import torch

from dsa_app.errors import TrainingError


def epoch_batches(pids: torch.Tensor, P: int, K: int, generator: torch.Generator) -> torch.Tensor:
    """Draw one epoch.

    Args:
        pids: int64 (N,), the identity of each picture.
        generator: a CPU generator; the same state gives the same epoch.

    Returns:
        int64 (batches, P * K): places in `pids`, the K of an identity side by side. Each place appears at least once.

    Raises:
        TrainingError: if there are fewer than P identities.
    """
    identities, owner, counts = pids.unique(return_inverse=True, return_counts=True)
    if len(identities) < P:
        raise TrainingError(
            f"A batch needs {P} identities, the training split has {len(identities)}. "
            f"Ask for fewer: --set train.identities={len(identities)}."
        )
    shuffled = torch.randperm(len(pids), generator=generator)
    shuffled = shuffled[owner[shuffled].argsort(stable=True)]  # by identity, at random within each
    hands = [_deal(pictures, K) for pictures in shuffled.split(counts.tolist())]
    left = torch.tensor([len(hand) for hand in hands])
    total = max(-(-int(left.sum()) // P), int(left.max()))
    dealt = torch.zeros_like(left)
    batches = []
    for remaining in range(total, 0, -1):
        drawn = _draw(left - dealt, remaining, P, generator)
        batches.append(torch.cat([hands[i][dealt[i] % len(hands[i])] for i in drawn.tolist()]))
        dealt[drawn] += 1
    return torch.stack(batches)


def _deal(pictures: torch.Tensor, K: int) -> torch.Tensor:
    """Deal one identity's shuffled pictures into groups, beginning again to fill the last: (n,) -> (groups, K)."""
    groups = -(-len(pictures) // K)
    return pictures[torch.arange(groups * K) % len(pictures)].view(groups, K)


def _draw(left: torch.Tensor, remaining: int, P: int, generator: torch.Generator) -> torch.Tensor:
    """Draw P identities, given how many groups each has left: must go first, then has some, then has none."""
    order = torch.rand(len(left), generator=generator, dtype=torch.float64)
    order[left >= remaining] -= 1
    order[left <= 0] += 1
    return order.argsort()[:P]
