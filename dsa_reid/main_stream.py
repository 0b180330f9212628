"""The main full-image stream (MF) of section 3.2: a ResNet trunk, one global head and eight local heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .errors import ModelError
from .residual import BasicBlock, Block, Bottleneck, conv, initialise, stage

REGIONS = 8  # local heads, one for each body region that the guide's merging ends in
STEM = 64  # channels of conv1 at width 1
DEPTHS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


@dataclass(frozen=True)
class MainStreamConfig:
    """The main stream's shape; the defaults are the paper's.

    Attributes:
        width: multiplies every channel count; a multiple of 1/8.
        local_input: what a local head sees of F: its own eighth of the channels, or all of them.
        heads: which of the heads there are.

    Raises ModelError for a value that does not hold.
    """

    trunk: Literal["resnet50", "resnet18"] = "resnet50"
    width: float = 1.0
    local_input: Literal["slice", "full"] = "slice"
    heads: Literal["both", "global", "local"] = "both"

    def __post_init__(self) -> None:
        """Check the values: they may come from a file."""
        _one_of("trunk", self.trunk, tuple(DEPTHS))
        _one_of("local_input", self.local_input, ("slice", "full"))
        _one_of("heads", self.heads, ("both", "global", "local"))
        if not (self.width > 0 and (STEM * self.width) % REGIONS == 0):
            raise ModelError(
                f"width = {self.width!r} does not hold: conv1's {STEM} × width channels must divide by "
                f"{REGIONS}. Use a multiple of {REGIONS / STEM}, as in 0.25 or 0.5."
            )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ModelError(f"{name} = {value!r} does not hold: expected {' or '.join(map(repr, known))}.")


class Features(NamedTuple):
    """What a stream makes of a batch, after average pooling; a head that is left out gives None."""

    global_: torch.Tensor | None  # (B, G)
    local: torch.Tensor | None  # (B, 8, L)


class Trunk(nn.Module):
    """ResNet's conv1 to conv4_x under torchvision's names: pictures to F at stride 16."""

    def __init__(self, block: Block, depths: tuple[int, ...], stem: int) -> None:
        super().__init__()
        out = block.expansion
        self.conv1 = conv(3, stem, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = stage(block, stem, stem, depths[0])
        self.layer2 = stage(block, stem * out, 2 * stem, depths[1], stride=2)
        self.layer3 = stage(block, 2 * stem * out, 4 * stem, depths[2], stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised pictures (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        return self.layer3(self.layer2(self.layer1(x)))


class MainStream(nn.Module):
    """All that is needed at inference: trunk, conv5_x for the whole body, conv5_x in eight parts.

    The last down-sampling is removed from both heads. The local heads are one conv5_x grouped by eight, so that
    every layer of a head has 1/8 of the channels; head i reads channels c·i … c·i + c − 1 of F, c = c_A / 8.

    Attributes:
        channels: c_A, the channels of F (1024 for ResNet-50).
        feature_width: G, the dimensions of the global feature, and of the eight local ones together.
    """

    def __init__(self, config: MainStreamConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MainStreamConfig()
        block, depths = DEPTHS[config.trunk]
        stem = int(STEM * config.width)
        self.channels = 4 * stem * block.expansion
        self.feature_width = 8 * stem * block.expansion
        self.trunk = Trunk(block, depths[:3], stem)
        self.global_head: nn.Sequential | None = None
        self.local_head: nn.Sequential | None = None
        if config.heads != "local":
            self.global_head = stage(block, self.channels, 8 * stem, depths[3])
        if config.heads != "global":
            reading = REGIONS if config.local_input == "slice" else 1
            self.local_head = stage(block, self.channels, 8 * stem, depths[3], groups=REGIONS, input_groups=reading)
        initialise(self)

    def forward(self, images: torch.Tensor) -> Features:
        """Map normalised pictures, float (B, 3, H, W), to f_G (B, G) and f_L (B, 8, G/8)."""
        return pooled(self.trunk(images), self.global_head, self.local_head)


def pooled(maps: torch.Tensor, global_head: nn.Module | None, local_head: nn.Module | None) -> Features:
    """Apply the heads that there are to maps (B, C, h, w) and average over place, in float32 or better."""
    whole = None if global_head is None else _average(global_head(maps))  # (B, G)
    parts = None if local_head is None else _average(local_head(maps)).unflatten(1, (REGIONS, -1))  # (B, 8, G/8)
    return Features(whole, parts)


def _average(maps: torch.Tensor) -> torch.Tensor:
    return maps.mean((2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))
