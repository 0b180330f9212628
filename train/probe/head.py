"""A region head for maps of a frozen trunk: the one of region pooling, fitted to labels by cross entropy.

It sees the image alone, so that a network with it needs no maps for inference.
"""

from __future__ import annotations

import torch

from dsa_reid.region_pooling import RegionHead

from ..losses.regions import region_loss


def fit(
    cells: torch.Tensor, places: torch.Tensor, shares: torch.Tensor, steps: int, batch: int, rate: float,
    generator: torch.Generator,
) -> RegionHead:  # fmt: skip
    """Return a head fitted to labels, in evaluation mode.

    Args:
        cells: float (n, C), what the head reads.
        places: float (n, 2), see `region_pooling.position`.
        shares: float (n, 9), of the labels.
        steps, batch: batches of sampled cells.
        rate: of Adam, decayed to 0 along a cosine.
        generator: of weights and batches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        head = RegionHead(cells.shape[1])
    optimiser = torch.optim.Adam(head.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    head.train()
    for _ in range(steps):
        chosen = torch.randint(len(cells), (min(batch, len(cells)),), generator=generator)
        logits = head.classify(*(one[chosen, :, None, None] for one in (cells, places)))  # (b, 9, 1, 1)
        optimiser.zero_grad()
        region_loss(logits, shares[chosen, :, None, None].float(), smoothing=0.0).backward()
        optimiser.step()
        schedule.step()
    return head.eval()
