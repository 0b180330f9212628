"""Batches of P identities with K images each, for the batch-hard triplet loss (Hermans et al., 2017).

An epoch uses every image at least once, and every batch has exactly P identities. The images of an identity are
shuffled and dealt into groups of K; the last group is filled up by repeating other images of the identity, so an
identity with fewer than K has them repeated. Each batch takes one group from each of P identities, sampled at random
among those that have groups left. Two rules make this possible for any sizes: an identity with as many groups left as
batches remain is taken now, and where fewer than P identities have groups left, others are taken a second time.
"""

from __future__ import annotations

import torch

from .parts_store import check_identities


def epoch_batches(pids: torch.Tensor, P: int, K: int, generator: torch.Generator) -> torch.Tensor:
    """Return the batches of one epoch, sampled at random.

    Args:
        pids: int64 (N,), the identity of each image.
        generator: a CPU generator; the same state gives the same epoch.

    Returns:
        int64 (batches, P * K): indices into `pids`, the K of an identity side by side. Each index appears at least
        once.

    Raises:
        TrainingError: if there are fewer than P identities, or fewer than two.
    """
    identities, owner, counts = pids.unique(return_inverse=True, return_counts=True)
    check_identities(identities.tolist(), P)
    # Shuffle all images, then sort them by identity. The sort is stable, so within an identity the order stays random.
    shuffled = torch.randperm(len(pids), generator=generator)
    shuffled = shuffled[owner[shuffled].argsort(stable=True)]  # (N)
    groups = [_groups_of(own, K) for own in shuffled.split(counts.tolist())]  # of each identity (groups, K)
    left = torch.tensor([len(own) for own in groups])  # groups not yet in a batch, by identity
    # The least number of batches: P groups go into one, and an identity has at most one group in a batch.
    total = max(-(-int(left.sum()) // P), int(left.max()))
    taken = torch.zeros_like(left)
    batches = []
    for remaining in range(total, 0, -1):
        chosen = _sample_identities(left - taken, remaining, P, generator)  # (P)
        # The modulo repeats groups of an identity that is taken once more after its last group.
        batches.append(torch.cat([groups[i][taken[i] % len(groups[i])] for i in chosen.tolist()]))  # (P * K)
        taken[chosen] += 1
    return torch.stack(batches)


def _groups_of(images: torch.Tensor, K: int) -> torch.Tensor:
    """Return one identity's shuffled images in groups of K, the last filled up from the first: (n,) -> (groups, K)."""
    groups = -(-len(images) // K)
    return images[torch.arange(groups * K) % len(images)].view(groups, K)


def _sample_identities(left: torch.Tensor, remaining: int, P: int, generator: torch.Generator) -> torch.Tensor:
    """Sample P identities for the next batch: int64 (P,).

    Args:
        left: groups that each identity has left; zero or less for one that has none.
        remaining: batches to come, this one included.
    """
    # One random key in [0, 1) for each identity; the P smallest are taken. A key in [-1, 0) puts an identity first that
    # has as many groups left as batches remain: skipped now, it could not place them all. A key in [1, 2) puts an
    # identity last that has none left, so that it is repeated only where fewer than P have any.
    keys = torch.rand(len(left), generator=generator, dtype=torch.float64)
    keys[left >= remaining] -= 1
    keys[left <= 0] += 1
    return keys.argsort()[:P]
