"""ResNet's residual blocks, also as several narrow branches side by side.

With `groups` = n a block is n independent blocks of 1/n of the channels, computed as grouped convolutions: branch i
reads and writes slice i of n equal slices of the channels. With one group the blocks are torchvision's, layer names
included, so that its weights load by name.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias (batch norm follows) whose padding keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


def pointwise(inputs: int, outputs: int, groups: int = 1) -> nn.Sequential:
    """Return a 1×1 convolution with batch norm and ReLU."""
    return nn.Sequential(conv(inputs, outputs, 1, groups=groups), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """The shortcut of both blocks: 1×1 and batch norm where the shape changes."""

    expansion: int
    downsample: nn.Sequential | None

    def _add_shortcut(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        same = inputs == outputs and stride == 1
        self.downsample = (
            None if same else nn.Sequential(conv(inputs, outputs, 1, stride, groups), nn.BatchNorm2d(outputs))
        )

    def _shortcut(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.downsample is None else self.downsample(x)


class InstanceBatchNorm(nn.Module):
    """IBN-a (Pan et al. 2018, figure 3): instance norm for the first half of the channels, batch norm for the rest.

    Layer names are those of the authors' published weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instances = channels // 2
        self.IN = nn.InstanceNorm2d(self.instances, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.instances)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, channels, h, w)."""
        instance, batch = x.split([self.instances, x.shape[1] - self.instances], dim=1)
        return torch.cat([self.IN(instance.contiguous()), self.BN(batch.contiguous())], dim=1)


class BasicBlock(_Residual):
    """ResNet-18's block: 3×3, 3×3, add (He et al. 2016, figure 5).

    Args:
        inputs: input channels of all groups together.
        width: inner channels of all groups together; there are `width * expansion` output channels.
        groups: independent branches.
        input_groups: groups of the convolutions that read the input; with 1 every branch reads all channels.
        ibn: instance norm for half of the first convolution's channels.
    """

    expansion = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        groups: int = 1,
        input_groups: int | None = None,
        ibn: bool = False,
    ) -> None:
        super().__init__()
        reading = input_groups or groups
        self.conv1 = conv(inputs, width, 3, stride, reading)
        self.bn1 = InstanceBatchNorm(width) if ibn else nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, 1, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self._add_shortcut(inputs, width, stride, reading)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, h, w) to (B, width, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self._shortcut(x), inplace=True)


class Bottleneck(_Residual):
    """ResNet-50's block: 1×1, 3×3, 1×1, add, the stride in the 3×3; arguments as `BasicBlock`'s."""

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        groups: int = 1,
        input_groups: int | None = None,
        ibn: bool = False,
    ) -> None:
        super().__init__()
        reading = input_groups or groups
        outputs = width * self.expansion
        self.conv1 = conv(inputs, width, 1, 1, reading)
        self.bn1 = InstanceBatchNorm(width) if ibn else nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1, 1, groups)
        self.bn3 = nn.BatchNorm2d(outputs)
        self._add_shortcut(inputs, outputs, stride, reading)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, h, w) to (B, 4 * width, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self._shortcut(x), inplace=True)


Block = type[BasicBlock] | type[Bottleneck]


def stage(
    block: Block,
    inputs: int,
    width: int,
    depth: int,
    stride: int = 1,
    groups: int = 1,
    input_groups: int | None = None,
    ibn: bool = False,
) -> nn.Sequential:
    """Return a sequence of `depth` blocks; stride and `input_groups` apply to the first."""
    first = block(inputs, width, stride, groups, input_groups, ibn)
    rest = [block(width * block.expansion, width, groups=groups, ibn=ibn) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


def initialise(network: nn.Module) -> None:
    """Initialise every convolution's weights from He's normal distribution (fan-in), with torch's generator.

    Fan-in, since it is the same for a separate branch and for one group of a grouped convolution.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
