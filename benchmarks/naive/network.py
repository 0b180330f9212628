"""The same network as a re-ID codebase would write it: every branch and every local head a module, in Python loops."""

from __future__ import annotations

import torch
from torch import nn

from dsa_reid.config import REGIONS, MainStreamConfig
from dsa_reid.main_stream import DEPTHS, Features, Look, MainStream
from dsa_reid.residual import BasicBlock, Block, initialise, stage
from dsa_train.network.branches import LoopBranches
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream


class LoopHeads(nn.Module):
    """One head over the whole map and eight over a slice each, pooled."""

    def __init__(self, block: Block, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.whole = stage(block, channels, width, depth)
        self.parts = nn.ModuleList(stage(block, channels // REGIONS, width // REGIONS, depth) for _ in range(REGIONS))

    def forward(self, maps: torch.Tensor) -> Features:
        """Map (B, C, h, w) to (B, G) and (B, 8, G/8)."""
        slices = maps.chunk(REGIONS, dim=1)
        local = [head(piece).mean((2, 3)) for head, piece in zip(self.parts, slices, strict=True)]
        return Features(self.whole(maps).mean((2, 3)), torch.stack(local, dim=1))


class LoopMain(MainStream):
    """The main stream with its heads in a loop."""

    def __init__(self, config: MainStreamConfig) -> None:
        super().__init__(config)
        block, depths = DEPTHS[config.trunk]
        self.global_head = self.local_head = None
        self.heads = LoopHeads(block, self.channels, self.feature_width // block.expansion, depths[3])
        initialise(self.heads)

    def look(
        self, images: torch.Tensor, labels: torch.Tensor | None = None, cameras: torch.Tensor | None = None
    ) -> Look:
        """Map images (B, 3, H, W) to features; there are neither labels of regions nor embeddings of cameras."""
        return Look(self.heads(self.trunk(images)), {}, None)


class LoopGuide(nn.Module):
    """Twenty-four branches one after another, and the heads, as `dsa_train.network.guide_stream.GuideStream`."""

    def __init__(self, channels: int, feature_width: int) -> None:
        super().__init__()
        self.branches = LoopBranches(channels // REGIONS)
        self.heads = LoopHeads(BasicBlock, channels, feature_width, 2)
        initialise(self)

    def forward(self, parts: torch.Tensor) -> Features:
        """Map part images (B, 24, 3, S, S) to features."""
        return self.heads(self.branches(parts))


def naive_network(config: NetworkConfig, identities: int) -> TwoStream:
    """Return the network of `config` with a Python loop wherever there are several branches."""
    network = TwoStream(config, identities)
    channels, width = network.main.channels, network.main.feature_width
    network.main = LoopMain(config.main)
    network.guide = LoopGuide(channels, width)  # type: ignore[assignment]
    return network
