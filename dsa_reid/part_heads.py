"""Heads of other methods: PCB (Sun et al. 2018) and MGN (Wang et al. 2018), whose feature is joined of pieces.

Stripe i of n has the rows from ⌊i·h/n⌋ to ⌈(i+1)·h/n⌉ of a map of height h, as in torch's adaptive pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from .residual import Block, conv, stage

STRIPES = 6  # of PCB (Sun et al. 2018, section 3.1)
REDUCED = 256  # dimensions of a piece, in both papers
GRANULARITIES = (1, 2, 3)  # stripes of each of MGN's branches; 1 is the global branch (Wang et al. 2018)
Pool = Callable[[torch.Tensor], torch.Tensor]


class Pieces(NamedTuple):
    """The feature of a head that joins several.

    Attributes:
        joined: all of them, (B, G): the feature that is deployed.
        classified: the features that have an identity classifier each, by name, (B, D) each.
        compared: those that have a triplet loss each, by name, (B, D) each.
        pooled: those before their reduction, (B, C) each: all losses reach the network through them.
    """

    joined: torch.Tensor
    classified: Mapping[str, torch.Tensor]
    compared: Mapping[str, torch.Tensor]
    pooled: tuple[torch.Tensor, ...]


class Reduction(nn.Module):
    """1×1 convolution, batch norm and ReLU of a pooled feature."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 1)
        self.bn1 = nn.BatchNorm2d(outputs)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs) to (B, outputs)."""
        reduced: torch.Tensor = torch.relu(self.bn1(self.conv1(pooled[:, :, None, None]))).flatten(1)
        return reduced


class PcbHead(nn.Module):
    """PCB: the average of each of six stripes, reduced by one layer that all share, as in the authors' code.

    Attributes:
        width: G, dimensions of the joined feature.
        classified: dimensions of what is classified, by name.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = min(REDUCED, channels)  # of a network that is thinner than the authors'
        self.width = STRIPES * reduced
        self.classified = {f"stripe_{i}": reduced for i in range(STRIPES)}
        self.reduction = Reduction(channels, reduced)

    def forward(self, maps: torch.Tensor, pool: Pool) -> Pieces:
        """Map the maps of conv5_x (B, C, h, w) to the pieces; nothing is compared, as PCB has no triplet loss."""
        pooled = tuple(pool(stripe) for stripe in stripes(maps, STRIPES))
        # All stripes as one batch: batch norm's statistics are over the stripes of a batch together.
        reduced = self.reduction(torch.stack(pooled, dim=1).flatten(0, 1)).unflatten(0, (-1, STRIPES))  # (B, 6, 256)
        pieces = dict(zip(self.classified, reduced.unbind(1), strict=True))
        return Pieces(reduced.flatten(1), pieces, {}, pooled)


class MgnHead(nn.Module):
    """MGN: three branches from res4_2 on; the maximum over all of each, and over two and three stripes, reduced.

    The global branch alone has the down-sampling of conv5_x. No two layers share weights.

    Attributes:
        width: G, dimensions of the joined feature: those of three whole maps, then of the five stripes.
        classified: dimensions of what is classified, by name: whole maps before, stripes after their reduction.

    Args:
        block: of the ResNet.
        channels: c_A, of F after res4_1.
        depths: blocks in each branch's res4 and conv5.
        ibn: instance norm in res4, as in the trunk.
    """

    def __init__(self, block: Block, channels: int, depths: tuple[int, int], ibn: bool = False) -> None:
        super().__init__()
        width = channels // block.expansion
        out = 2 * channels
        reduced = min(REDUCED, out)
        self.branches = nn.ModuleList(
            nn.Sequential(
                stage(block, channels, width, depths[0], ibn=ibn),
                stage(block, channels, 2 * width, depths[1], stride=2 if count == 1 else 1),
            )
            for count in GRANULARITIES
        )
        whole = [f"whole_{branch}" for branch in range(len(GRANULARITIES))]
        parts = [f"part_{part}" for part in range(sum(count for count in GRANULARITIES if count > 1))]
        self.reductions = nn.ModuleDict({name: Reduction(out, reduced) for name in (*whole, *parts)})
        self.width = reduced * len(self.reductions)
        self.classified = dict.fromkeys(whole, out) | dict.fromkeys(parts, reduced)
        self._whole, self._parts = whole, parts

    def forward(self, maps: torch.Tensor, pool: Pool) -> Pieces:
        """Map F after res4_1 (B, c_A, h, w) to the pieces; `pool` has no effect, as MGN takes the maximum."""
        found = [branch(maps) for branch in self.branches]  # (B, C, h/2, w/2), (B, C, h, w) twice
        pooled = {name: branch.amax((2, 3)) for name, branch in zip(self._whole, found, strict=True)}  # (B, C)
        parts = [
            stripe.amax((2, 3))
            for count, branch in zip(GRANULARITIES, found, strict=True)
            for stripe in (stripes(branch, count) if count > 1 else ())
        ]
        pooled |= dict(zip(self._parts, parts, strict=True))
        reduced = {name: reduction(pooled[name]) for name, reduction in self.reductions.items()}
        whole, of_parts = ({name: reduced[name] for name in names} for names in (self._whole, self._parts))
        before = {name: pooled[name] for name in self._whole}
        return Pieces(torch.cat(list(reduced.values()), dim=1), before | of_parts, whole, tuple(pooled.values()))


def stripes(maps: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Cut maps (B, C, h, w) into `count` horizontal stripes of at least one row each."""
    h = maps.shape[2]
    return [maps[:, :, i * h // count : -(-(i + 1) * h // count)] for i in range(count)]
