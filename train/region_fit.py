"""Fitting the region heads before the first epoch, on cells of the maps of the pretrained trunk.

A head that learns along with the rest is worse than the mean label map in the first epochs, and the local features
learn to pool by what it shows then. Fitting takes a minute or two on a CPU core: the maps are computed once, for the
first batches of the first epoch, and the heads alone are trained on their cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from dsa_app.console import progress
from dsa_reid.local_pooling import LocalPooling
from dsa_reid.region_pooling import RegionHead, in_cells, position

from .batches.feed import TrainingSet, epoch_order, feed, generator
from .batches.regions import weighted_shares
from .config import TrainConfig
from .losses.regions import cells_right, region_loss
from .network.two_stream import TwoStream
from .torch_setup import autocast

NUMBERS = 2**27  # values that the kept cells of a level may have: half a GiB in float32
BATCH = 4096  # cells of a step


class Cells(NamedTuple):
    """Cells of one level with a label.

    Args:
        maps: what the region head reads, float32 (n, C, 1, 1).
        places: their positions, (n, 2, 1, 1).
        shares: of the labels, (n, 9, 1, 1).
        template: the mean label map there, (n, 9, 1, 1).
    """

    maps: torch.Tensor
    places: torch.Tensor
    shares: torch.Tensor
    template: torch.Tensor


class Right(NamedTuple):
    """The parts of the cells a head was fitted to that the head and the mean label map have right."""

    head: float
    template: float


def fit_region_heads(network: TwoStream, data: TrainingSet, config: TrainConfig) -> dict[int, Right]:
    """Fit the region heads of a network in place; return the parts of these cells that are right, by stride.

    A function of the data and the seed. No other weights or statistics change.
    """
    pooling = network.main.local_pooling
    assert pooling is not None, "a network with region heads"
    right = {}
    for level, cells in _collect(network, pooling, data, config).items():
        head = pooling.heads[str(level)]
        assert isinstance(head, RegionHead), "heads of regions"
        right[level] = _fit(head, cells, config, level)
    return right


def _fit(head: RegionHead, cells: Cells, config: TrainConfig, level: int) -> Right:
    """Train one head on cells; return the part of them that it has right afterwards, and the mean label map."""
    random = generator(config.seed, "region head", level)
    device = cells.maps.device
    optimiser = torch.optim.Adam(head.parameters(), lr=config.regions.fit_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.regions.fit)
    head.train()
    for _ in range(config.regions.fit):
        chosen = torch.randint(len(cells.maps), (BATCH,), generator=random).to(device)
        logits = head.classify(cells.maps[chosen], cells.places[chosen])
        optimiser.zero_grad()
        region_loss(logits, cells.shares[chosen], config.regions.smoothing).backward()
        optimiser.step()
        schedule.step()
    head.zero_grad()
    head.eval()
    with torch.no_grad():
        starts = range(0, len(cells.maps), BATCH)
        logits = torch.cat([head.classify(*(one[start : start + BATCH] for one in cells[:2])) for start in starts])
    return Right(float(cells_right(logits, cells.shares)), float(cells_right(cells.template, cells.shares)))


@torch.no_grad()
def _collect(network: TwoStream, pooling: LocalPooling, data: TrainingSet, config: TrainConfig) -> dict[int, Cells]:
    """Return cells of the first batches of the first epoch, by their stride, as the heads will read them there."""
    device = next(network.parameters()).device
    order = epoch_order(data, config, epoch=0)  # (steps, B)
    order = order[: -(-config.regions.fit_images // order.shape[1])]
    random = generator(config.seed, "region cells")
    kept: dict[int, list[Cells]] = {}
    trunk = network.main.trunk
    with _own_statistics(trunk), autocast(device, config.precision):
        trunk.train(not config.freeze)  # as in the first epoch
        batches = data.images.batches(order.tolist(), config.workers)
        for step, batch in enumerate(progress(batches, order.numel(), "Fitting region heads", each=0)):
            images, _, regions, _, confidence, _ = feed(batch.to(device), data, config, 0, step)
            assert regions is not None, "a training set with labels"
            maps = trunk.levels(images.contiguous(memory_format=network.memory_format))
            shares = weighted_shares(regions, confidence)
            for level in pooling.levels:
                read = pooling.read(maps, level)
                cells = _labelled(read.float(), in_cells(shares, (read.shape[2], read.shape[3])), data.templates[level])
                most = max(1, NUMBERS // read.shape[1] // len(order))
                chosen = torch.randperm(len(cells.maps), generator=random)[:most].to(device)
                kept.setdefault(level, []).append(Cells(*(one[chosen] for one in cells)))
    return {level: Cells(*map(torch.cat, zip(*parts, strict=True))) for level, parts in kept.items()}


def _labelled(maps: torch.Tensor, shares: torch.Tensor, template: torch.Tensor) -> Cells:
    """Return those cells of maps (B, C, h, w) of which something is known; `template` is (9, h, w)."""
    of_all = template.to(shares).expand_as(shares)
    flat = [one.movedim(1, 3).flatten(0, 2)[..., None, None] for one in (maps, position(maps), shares, of_all)]
    known = flat[2].flatten(1).any(1)
    return Cells(*(one[known] for one in flat))


@contextmanager
def _own_statistics(module: nn.Module) -> Iterator[None]:
    """Restore a module's buffers, as the running statistics of batch norm, when the context ends."""
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        yield
    finally:
        for name, value in module.named_buffers():
            value.copy_(before[name])
