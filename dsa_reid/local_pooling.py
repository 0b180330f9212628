"""Where the eight local features look: the average of the paper, body regions, stripes, at one level or at two.

Each way of pooling at each level gives one source, (B, 8, G/8). The sources are concatenated or added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .config import COARSE, FINE, REGIONS, MainStreamConfig
from .pooling import GeneralisedMean, average
from .region_pooling import CLASSES, RegionHead, in_cells, region_pooled, stripes, visibility
from .residual import pointwise

NARROWEST = 32  # channels of F8 that each local head reads at least; with fewer in an eighth it reads all of them


class Local(NamedTuple):
    """The local features of a batch, with where they look.

    Attributes:
        features: (B, 8, L).
        logits: of the regions at each level, (B, 9, h, w) each; empty without region heads.
        visibility: (B, 8), see `region_pooling.visibility`; None without region heads.
        foreground: how much of each cell at stride 16 is body, (B, h, w) or (1, h, w); None where it is not known.
    """

    features: torch.Tensor
    logits: Mapping[int, torch.Tensor]
    visibility: torch.Tensor | None
    foreground: torch.Tensor | None


class Source(NamedTuple):
    """Local maps of one level, and the weights of one way of pooling them.

    Attributes:
        way: as in `MainStreamConfig.local_pooling`.
        maps: (B, G, h, w), eight side by side.
        weights: of the cells, (B, 8, h, w) or (1, 8, h, w); None for the average over all.
    """

    way: str
    maps: torch.Tensor
    weights: torch.Tensor | None


class LocalPooling(nn.Module):
    """Pools the local maps as `MainStreamConfig.local_pooling`, `local_levels` and `local_join` say.

    Attributes:
        detach: whether the region heads read their maps detached, so that their loss does not change the trunk.
        steer: whether the losses on the pooled features change the region heads.
        ramp: the weight of regions against the average while the network is in training mode; 1 in evaluation mode.
    """

    ramp: torch.Tensor

    def __init__(self, config: MainStreamConfig, channels: Mapping[int, int], width: int) -> None:
        """Make the layers.

        Args:
            config: of the main stream.
            channels: of the maps F and F8, by their strides 16 and 8.
            width: of the eight local maps of a level together.
        """
        super().__init__()
        self.levels, self.ways = tuple(config.local_levels), config.local_pooling.split("+")
        self.join = config.local_join
        self.detach, self.steer = True, False
        # In no file, so it needs a value also where a network is built without memory to be filled from a file.
        self.register_buffer("ramp", torch.ones((), device="cpu"), persistent=False)
        self.heads = nn.ModuleDict()
        if "regions" in self.ways:
            reading = {COARSE: channels[COARSE], FINE: channels.get(FINE, 0) + channels[COARSE]}
            self.heads.update({str(level): RegionHead(reading[level]) for level in self.levels})
        if "template" in self.ways:
            for level in self.levels:
                self.register_buffer(f"template_{level}", torch.zeros(CLASSES, *cells(config.size, level)))
        self.fine: nn.Sequential | None = None
        if FINE in self.levels:
            sliced = config.local_input == "slice" and channels[FINE] >= NARROWEST * REGIONS
            groups = REGIONS if sliced else 1
            self.fine = pointwise(channels[FINE], width, groups)

    @property
    def sources(self) -> int:
        """How many features are concatenated to a local feature."""
        return len(self.levels) * len(self.ways) if self.join == "concat" else 1

    def templates(self) -> dict[int, torch.Tensor]:
        """Return the mean label map of each level, (9, h, w), to be filled in place; none for other ways."""
        return {level: getattr(self, f"template_{level}") for level in self.levels} if "template" in self.ways else {}

    def forward(
        self,
        maps: Mapping[int, torch.Tensor],
        local: torch.Tensor,
        pool: GeneralisedMean | None = None,
        labels: torch.Tensor | None = None,
    ) -> Local:
        """Pool the local features.

        Args:
            maps: F (B, c_A, h, w) and, with two levels, F8 (B, c_8, 2·h, 2·w), by their strides.
            local: the eight local maps at stride 16, (B, G, h, w).
            pool: the generalised mean; None for the mean.
            labels: shares of pixels (B, 9, H, W) to pool by instead of the predicted ones; an image without any
                label is pooled by its predicted ones.
        """
        logits = self.predict(maps)
        shares = {level: shares_of(own, labels) for level, own in logits.items()}
        sources = [self._pooled(source, pool) for source in self.look(maps, local, shares)]
        joined = torch.cat(sources, dim=2) if self.join == "concat" else torch.stack(sources).sum(0)
        seen = visibility(shares[self.levels[-1]]) if shares else None
        return Local(joined, logits, seen, self._foreground(shares.get(COARSE)))

    @property
    def has_foreground(self) -> bool:
        """Whether it is known which cells are body."""
        return bool(self.heads) or "template" in self.ways

    def _foreground(self, shares: torch.Tensor | None) -> torch.Tensor | None:
        if shares is not None:
            return 1 - (shares if self.steer else shares.detach())[:, 0]
        return 1 - self.templates()[COARSE][None, 0] if "template" in self.ways else None

    def read(self, maps: Mapping[int, torch.Tensor], level: int) -> torch.Tensor:
        """Return what the region head of a level reads: F; at stride 8 F8 beside F, which is enlarged to its size."""
        F_ = maps[COARSE].detach() if self.detach else maps[COARSE]
        if level == COARSE:
            return F_
        F8 = maps[FINE].detach() if self.detach else maps[FINE]
        return torch.cat([F8, F.interpolate(F_, size=F8.shape[2:], mode="bilinear")], dim=1)

    def predict(self, maps: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Return the logits of the regions at each level, (B, 9, h, w) each; none without region heads."""
        return {int(level): head(self.read(maps, int(level))) for level, head in self.heads.items()}

    def look(
        self, maps: Mapping[int, torch.Tensor], local: torch.Tensor, shares: Mapping[int, torch.Tensor]
    ) -> list[Source]:
        """Return the sources that the local features are pooled from, in the order in which they are joined.

        Args:
            maps, local: as for `forward`.
            shares: of the regions at each level, (B, 9, h, w) each; empty without region heads.
        """
        by_level = {COARSE: local}
        if self.fine is not None:
            by_level[FINE] = self.fine(maps[FINE])  # (B, G, 2·h, 2·w)
        return [
            Source(way, of_level, self._weights(way, level, of_level, shares))
            for level, of_level in by_level.items()
            for way in self.ways
        ]

    def _weights(
        self, way: str, level: int, local: torch.Tensor, shares: Mapping[int, torch.Tensor]
    ) -> torch.Tensor | None:
        if way == "average":
            return None
        if way == "stripes":
            return stripes(local.shape[2], local.shape[3], local.device)
        if way == "template":
            return self.templates()[level][None, 1:]  # (1, 8, h, w)
        return (shares[level] if self.steer else shares[level].detach())[:, 1:]

    def _pooled(self, source: Source, pool: GeneralisedMean | None) -> torch.Tensor:
        """Pool one source: local maps (B, G, h, w) to (B, 8, G/8)."""
        weights, ramped = source.weights, self.training and source.way != "stripes"
        pooled = None if weights is None else region_pooled(source.maps, weights, pool)
        if pooled is not None and not ramped:
            return pooled
        whole: torch.Tensor = (pool or average)(source.maps).unflatten(1, (REGIONS, -1))
        return whole if pooled is None else torch.lerp(whole, pooled, self.ramp.to(pooled.dtype))


def cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the height and width of the map at a stride of images of a height and width."""
    return -(-size[0] // stride), -(-size[1] // stride)


def shares_of(logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Return the shares (B, 9, h, w) that logits predict, or those of the labels (B, 9, H, W) where there are any."""
    predicted = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    if labels is None:
        return predicted
    known = labels.flatten(1).any(1)[:, None, None, None]
    return torch.where(known, in_cells(labels, (logits.shape[2], logits.shape[3])), predicted)
