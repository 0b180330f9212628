"""The trunk: a ResNet whose batch norms are frozen and whose bottlenecks stride in their first 1×1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (256, 512, 1024, 2048)  # channels of res2 .. res5


class ConvNorm(nn.Conv2d):
    """A convolution without bias that pads to keep its size, and the frozen batch norm after it."""

    norm: FrozenBatchNorm2d | None

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, size, stride, padding=size // 2, bias=False)
        self.norm = FrozenBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)

    def fold(self) -> None:
        """Multiply the norm into weight and bias: the same function except for rounding, with one pass less.

        bf16 needs it: a separate norm would round its four statistics to 8 bits each.
        """
        if self.norm is None:
            return
        norm = self.norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.weight = nn.Parameter(self.weight * scale[:, None, None, None], requires_grad=False)
        self.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
        self.norm = None


class Stem(nn.Module):
    """A 7×7 convolution and a max pool: stride 4 in all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 64, 7, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 64, H/4, W/4)."""
        return F.max_pool2d(F.relu(self.conv1(x)), 3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 around a shortcut; the stride is in the first 1×1, as in the original ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        width = outputs // 4
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if inputs != outputs else None
        self.conv1 = ConvNorm(inputs, width, 1, stride)
        self.conv2 = ConvNorm(width, width, 3)
        self.conv3 = ConvNorm(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        y = F.relu(self.conv1(x))
        y = F.relu(self.conv2(y))
        y = self.conv3(y)
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """ResNet-50 or -101 without its classifier."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = Stem()
        inputs = 64
        for stage, (blocks, outputs) in enumerate(zip(BLOCKS[depth], WIDTHS, strict=True), start=2):
            strides = [1 if stage == 2 else 2] + [1] * (blocks - 1)
            widths = [inputs] + [outputs] * (blocks - 1)
            stages = (Bottleneck(width, outputs, s) for width, s in zip(widths, strides, strict=True))
            self.add_module(f"res{stage}", nn.Sequential(*stages))
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> res2 .. res5: (B, 256·2^i, H/2^(i+2), W/2^(i+2)), i = 0 .. 3."""
        maps = []
        x = self.stem(x)
        for stage in range(2, 6):
            x = self.get_submodule(f"res{stage}")(x)
            maps.append(x)
        return maps


def fold_norms(network: nn.Module) -> None:
    """Fold every frozen batch norm of `network` into the convolution before it."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConvNorm):
                module.fold()
