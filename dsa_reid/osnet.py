"""OSNet as a trunk (Zhou et al. 2019, "Omni-Scale Feature Learning for Person Re-Identification").

Layer names are torchreid's, so that its published weights load by name.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import COARSE, FINE
from .residual import conv

CHANNELS = (64, 256, 384, 512)  # of conv1 to conv4 at width 1 (table 2 of Zhou et al. 2019)
WIDTHS = {"osnet_x1_0": 1.0, "osnet_x0_75": 0.75, "osnet_x0_5": 0.5, "osnet_x0_25": 0.25, "osnet_ibn_x1_0": 1.0}
BLOCKS = 2  # of each of conv2, conv3 and conv4
SCALES = "abcd"  # streams of a block, of one to four 3×3 convolutions
REDUCTION = 4  # a block's inner channels are a quarter of its output's
GATE_REDUCTION = 16


class ConvNorm(nn.Module):
    """Convolution and norm, with a ReLU unless `linear`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, linear: bool = False, instance: bool = False
    ) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel, stride)
        self.bn: nn.Module = nn.InstanceNorm2d(outputs, affine=True) if instance else nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h / stride, w / stride)."""
        y: torch.Tensor = self.bn(self.conv(x))
        return y if self.linear else F.relu(y, inplace=True)


class LightConv3x3(nn.Module):
    """Lite 3×3 (Zhou et al. 2019, fig. 3b): 1×1, depthwise 3×3, batch norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 1)
        self.conv2 = conv(channels, channels, 3, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w) to the same shape."""
        return F.relu(self.bn(self.conv2(self.conv1(x))), inplace=True)


class ChannelGate(nn.Module):
    """The unified aggregation gate: a weight of each channel from its mean, the same layers for all streams."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)
        for layer in (self.fc1, self.fc2):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w) to the same shape."""
        mean = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean), inplace=True)))


class OsBlock(nn.Module):
    """A residual block of four streams, which see 3, 5, 7 and 9 pixels, joined by a gate (Zhou et al. 2019, fig. 4)."""

    def __init__(self, inputs: int, outputs: int, instance: bool = False) -> None:
        super().__init__()
        inner = outputs // REDUCTION
        self.conv1 = ConvNorm(inputs, inner)
        self.conv2a = LightConv3x3(inner)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(LightConv3x3(inner) for _ in range(depth))) for depth in (2, 3, 4)
        )
        self.gate = ChannelGate(inner)
        self.conv3 = ConvNorm(inner, outputs, linear=True)
        self.downsample = None if inputs == outputs else ConvNorm(inputs, outputs, linear=True)
        self.IN = nn.InstanceNorm2d(outputs, affine=True) if instance else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h, w)."""
        y = self.conv1(x)
        a, b, c, d = (self.gate(getattr(self, f"conv2{scale}")(y)) for scale in SCALES)
        y = self.conv3(a + b + c + d)
        y = y + (x if self.downsample is None else self.downsample(x))
        return F.relu(y if self.IN is None else self.IN(y))


class OsNet(nn.Module):
    """OSNet's conv1 to conv5: images to F at stride 16.

    Args:
        name: of `WIDTHS`; "ibn" has instance norms in conv1 and conv2.

    Attributes:
        channels: c_A, of F; also the dimensions of the heads' features.
        fine_channels: of the map at stride 8.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        first, second, third, last = (int(channels * WIDTHS[name]) for channels in CHANNELS)
        instance = "ibn" in name
        self.channels = self.last_width = last
        self.fine_channels = second
        self.conv1 = ConvNorm(3, first, 7, stride=2, instance=instance)
        self.conv2 = _stage(first, second, shrink=True, instance=instance)
        self.conv3 = _stage(second, third, shrink=True)
        self.conv4 = _stage(third, last, shrink=False)
        self.conv5 = ConvNorm(last, last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        return self.levels(images)[COARSE]

    def levels(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Map normalised images to F and conv2's map (B, c_8, H/8, W/8), by their strides."""
        x = F.max_pool2d(self.conv1(images), 3, stride=2, padding=1)
        fine = self.conv2(x)
        return {COARSE: self.conv5(self.conv4(self.conv3(fine))), FINE: fine}


def _stage(inputs: int, outputs: int, shrink: bool, instance: bool = False) -> nn.Sequential:
    """Return the blocks of conv2, conv3 or conv4; with `shrink`, a 1×1 layer and a pooling that halves the size."""
    blocks: list[nn.Module] = [OsBlock(inputs, outputs, instance)]
    blocks += [OsBlock(outputs, outputs, instance) for _ in range(BLOCKS - 1)]
    if shrink:
        blocks.append(nn.Sequential(ConvNorm(outputs, outputs), nn.AvgPool2d(2)))
    return nn.Sequential(*blocks)
