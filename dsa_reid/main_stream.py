"""The main full-image stream (MF) of section 3.2: a trunk, one global head and eight local heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .config import COARSE, FINE, OSNETS, REGIONS, STEM, TIMM, MainStreamConfig
from .errors import ModelError, SettingError
from .local_pooling import Local, LocalPooling
from .osnet import OsNet
from .part_heads import MgnHead, PcbHead, Pieces
from .pooling import GeneralisedMean, average
from .region_pooling import weighted_mean
from .residual import BasicBlock, Block, Bottleneck, conv, initialise, pointwise, stage
from .timm_trunk import TimmTrunk
from .vit import VitOptions

DEPTHS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet50_ibn": (Bottleneck, (3, 4, 6, 3)),
    "resnet101_ibn": (Bottleneck, (3, 4, 23, 3)),
}
OTHER_HEAD: tuple[Block, int] = (Bottleneck, 3)  # conv5_x of ResNet-50, on every trunk that is not a ResNet of ours

UNSEEN = (
    "This network does not predict body regions, so their visibility is not known. Use a model that was trained with "
    "local_pooling 'regions'."
)


class Features(NamedTuple):
    """The features of a batch after pooling; None for a head that the network does not have."""

    global_: torch.Tensor | None  # (B, G)
    local: torch.Tensor | None  # (B, 8, L)


class Look(NamedTuple):
    """The features of a batch before any neck, with where the local ones look.

    Attributes:
        logits: of the regions at each level, by its stride, (B, 9, h, w) each; empty without region heads.
        visibility: of each region, (B, 8); None without region heads.
        foreground: the global maps' mean over the body, (B, G); None unless `looks_at_foreground`.
        local_maps: what the local features are pooled from, at stride 16, (B, G, h, w); None without local heads.
        pieces: what the global feature is joined of; None where it is not.
    """

    features: Features
    logits: Mapping[int, torch.Tensor]
    visibility: torch.Tensor | None
    foreground: torch.Tensor | None = None
    local_maps: torch.Tensor | None = None
    pieces: Pieces | None = None


class Trunk(nn.Module):
    """ResNet's conv1 to conv4_x under torchvision's names: images to F at stride 16."""

    def __init__(self, block: Block, depths: tuple[int, ...], stem: int, ibn: bool = False) -> None:
        super().__init__()
        out = block.expansion
        self.conv1 = conv(3, stem, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = stage(block, stem, stem, depths[0], ibn=ibn)
        self.layer2 = stage(block, stem * out, 2 * stem, depths[1], stride=2, ibn=ibn)
        self.layer3 = stage(block, 2 * stem * out, 4 * stem, depths[2], stride=2, ibn=ibn)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        return self.levels(images)[COARSE]

    def levels(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Map normalised images to F and conv3_x's map (B, c_A / 2, H/8, W/8), by their strides."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        fine = self.layer2(self.layer1(x))
        return {COARSE: self.layer3(fine), FINE: fine}


class MainStream(nn.Module):
    """The network of inference: trunk, conv5_x for the whole body, conv5_x in eight parts.

    The last down-sampling is removed from both heads. The local heads are one conv5_x grouped by eight, so that
    every layer of a head has 1/8 of the channels; head i reads channels c·i … c·i + c − 1 of F, c = c_A / 8.

    Attributes:
        channels: c_A, the channels of F (1024 for ResNet-50).
        feature_width: G, the dimensions of the global feature, and of the eight local maps together unless
            `local_channels` says how many these have.
        part_head: makes the global feature of pieces; None for the heads "dsa" and "plain".
        local_width: dimensions of the eight local features together: the same, unless several are concatenated.
        local_pooling: how they are pooled where that is not the paper's way; None for the paper's.
        looks_at_foreground: whether `look` also gives the foreground feature, which a loss may use.
    """

    trunk: Trunk | OsNet | TimmTrunk

    def __init__(self, config: MainStreamConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MainStreamConfig()
        if config.trunk.startswith(TIMM) or config.trunk in OSNETS:
            block, depth = OTHER_HEAD
            self.trunk = _other_trunk(config)
            fine = self.trunk.fine_channels
            self.channels, self.feature_width = self.trunk.channels, self.trunk.last_width
        else:
            block, (*depths, depth) = DEPTHS[config.trunk]
            stem = int(STEM * config.width)
            self.channels, fine = 4 * stem * block.expansion, 2 * stem * block.expansion
            self.feature_width = 8 * stem * block.expansion
            rest = depths[-1] - 1  # blocks of conv4_x after res4_1
            if config.head == "mgn":
                depths[-1] = 1
            self.trunk = Trunk(block, tuple(depths), stem, ibn=config.trunk.endswith("_ibn"))
            initialise(self.trunk)
        width = self.feature_width // block.expansion
        self.global_head: nn.Module | None = None
        self.local_head: nn.Sequential | None = None
        self.part_head: PcbHead | MgnHead | None = None
        if config.head == "plain":
            self.global_head, self.feature_width = nn.Identity(), self.channels
        elif config.head == "mgn":
            self.part_head = MgnHead(block, self.channels, (rest, depth), config.trunk.endswith("_ibn"))
        elif config.heads != "local" and config.global_feature == "pooled":
            self.global_head = stage(block, self.channels, width, depth)
            initialise(self.global_head)
        if config.head == "pcb":
            self.part_head = PcbHead(self.feature_width)
        if self.part_head is not None:
            self.feature_width = self.part_head.width
            initialise(self.part_head)
        local_channels = config.local_channels or self.feature_width
        if config.heads != "global":
            reading = REGIONS if config.local_input == "slice" else 1
            if config.local_head == "pointwise":
                self.local_head = pointwise(self.channels, local_channels, groups=reading)
            else:
                self.local_head = stage(block, self.channels, width, depth, groups=REGIONS, input_groups=reading)
            initialise(self.local_head)
        self.pool = GeneralisedMean() if config.pooling == "gem" else None
        self.local_pooling: LocalPooling | None = None
        self.local_width = local_channels
        self.looks_at_foreground = False
        if not config.pools_plainly:
            self.local_pooling = LocalPooling(config, {COARSE: self.channels, FINE: fine}, local_channels)
            self.local_width *= self.local_pooling.sources
            initialise(self.local_pooling)
        self.necks = nn.ModuleDict()
        if config.neck == "bn":
            heads = ("global", "local") if config.heads == "both" else (config.heads,)
            # "f_global", as "global" is a keyword of Python and torch.export writes the names into code
            self.necks.update({f"f_{head}": neck(self.parts[head]) for head in heads})

    def forward(self, images: torch.Tensor, cameras: torch.Tensor | None = None) -> Features:
        """Map normalised images, float (B, 3, H, W), to f_G (B, G) and f_L (B, 8, G/8), as they are compared.

        Args:
            cameras: as for `look`.
        """
        return self.after_necks(self.look(images, cameras=cameras).features)

    def features(self, images: torch.Tensor) -> Features:
        """Map normalised images to f_G and f_L before any neck: the guide's d_G and d_L are added to these."""
        return self.look(images).features

    def look(
        self, images: torch.Tensor, labels: torch.Tensor | None = None, cameras: torch.Tensor | None = None
    ) -> Look:
        """Map normalised images to their features before any neck, and to where the local features look.

        Args:
            images: float (B, 3, H, W).
            labels: shares of pixels (B, 9, H, W), see `region_pooling.label_shares`; regions are pooled by them
                instead of the predicted shares, in images that have any.
            cameras: int64 (B), the index of each image's camera in the configuration's `cameras`, -1 for another one;
                None for none known. Without `sie` they have no effect.
        """
        maps, token = self._maps(images, cameras)
        if self.part_head is not None:
            F_ = maps[COARSE]
            pieces = self.part_head(F_ if self.global_head is None else self.global_head(F_), self.pool or average)
            return Look(Features(pieces.joined, None), {}, None, pieces=pieces)
        if self.local_pooling is None:
            F_, pool = maps[COARSE], self.pool or average
            whole = token if token is not None else pooled(F_, self.global_head, None, pool).global_
            local_maps = None if self.local_head is None else self.local_head(F_)
            parts = None if local_maps is None else pool(local_maps).unflatten(1, (REGIONS, -1))  # (B, 8, G/8)
            return Look(Features(whole, parts), {}, None, None, local_maps)
        assert self.local_head is not None, "the configuration has refused all others"
        global_maps = None if self.global_head is None else self.global_head(maps[COARSE])
        whole = token if global_maps is None else (self.pool or average)(global_maps)
        local_maps = self.local_head(maps[COARSE])
        local: Local = self.local_pooling(maps, local_maps, self.pool, labels)
        foreground = None
        if self.looks_at_foreground and global_maps is not None and local.foreground is not None:
            foreground = weighted_mean(global_maps, local.foreground[:, None], self.pool)  # (B, G)
        return Look(Features(whole, local.features), local.logits, local.visibility, foreground, local_maps)

    def _maps(
        self, images: torch.Tensor, cameras: torch.Tensor | None
    ) -> tuple[Mapping[int, torch.Tensor], torch.Tensor | None]:
        """Return the trunk's maps by stride, and a ViT's class token where it is the global feature."""
        if isinstance(self.trunk, TimmTrunk) and self.trunk.options.any:
            return self.trunk.with_token(images, cameras)
        return ({COARSE: self.trunk(images)} if self.local_pooling is None else self.trunk.levels(images)), None

    @property
    def parts(self) -> dict[str, int]:
        """The parts of the joined feature, in order, with their lengths: "global", "local" or both."""
        widths = {"global": self.feature_width, "local": self.local_width}
        return {head: width for head, width in widths.items() if self.config.heads in ("both", head)}

    def with_visibility(
        self, images: torch.Tensor, cameras: torch.Tensor | None = None
    ) -> tuple[Features, torch.Tensor]:
        """Map normalised images to the features of `forward`, and to the visibility of the regions (B, 8).

        Raises ModelError for a network without region heads.
        """
        look = self.look(images, cameras=cameras)
        if look.visibility is None:
            raise ModelError(UNSEEN)
        return self.after_necks(look.features), look.visibility

    def after_necks(self, f: Features) -> Features:
        """Pass features through their necks; without necks they are returned unchanged."""
        if not self.necks:
            return f
        whole = None if f.global_ is None else self.necks["f_global"](f.global_)
        parts = None if f.local is None else self.necks["f_local"](f.local.flatten(1)).view_as(f.local)
        return Features(whole, parts)


def neck(width: int) -> nn.BatchNorm1d:
    """Return a BNNeck (Luo et al. 2019, section 3.5): batch norm whose bias stays 0."""
    norm = nn.BatchNorm1d(width)
    norm.bias.requires_grad_(False)
    return norm


def pooled(
    maps: torch.Tensor,
    global_head: nn.Module | None,
    local_head: nn.Module | None,
    pool: Callable[[torch.Tensor], torch.Tensor] = average,
) -> Features:
    """Apply the heads to maps (B, C, h, w) and pool over h and w, in float32 or better."""
    whole = None if global_head is None else pool(global_head(maps))  # (B, G)
    parts = None if local_head is None else pool(local_head(maps)).unflatten(1, (REGIONS, -1))  # (B, 8, G/8)
    return Features(whole, parts)


def _other_trunk(config: MainStreamConfig) -> OsNet | TimmTrunk:
    """Return a trunk that is not a ResNet of ours. Raises ModelError if the settings do not suit it."""
    if config.trunk in OSNETS:
        osnet = OsNet(config.trunk)
        initialise(osnet)
        return osnet
    trunk = TimmTrunk(config.trunk.removeprefix(TIMM), config.size, FINE in config.local_levels, vit_options(config))
    if trunk.stride != COARSE and config.local_pooling == "template":
        raise SettingError(
            f"{config.trunk} has its map at stride {trunk.stride}, and templates are made at stride {COARSE}.",
            {"local_pooling": "regions"},
            "pool another way, as local_pooling = 'stripes'",
        )
    return trunk


def vit_options(config: MainStreamConfig) -> VitOptions:
    """Return what a timm trunk does that is a plain ViT."""
    return VitOptions(
        config.patch_stride, config.global_feature == "token", config.sie, len(config.cameras), config.unknown_camera
    )
