"""The guide's 24 branches (Table 1, conv1 to conv4_x), computed in one of two ways.

`LoopBranches` is the paper's description: a small network for every chart, another for every pair. `GroupedBranches`
does the same with grouped convolutions: a twenty-fourth of the kernel launches, and equal to rounding.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from dsa_data.charts import BODY_REGIONS, CHARTS, PAIRS
from dsa_reid.residual import BasicBlock, conv, stage

from .merging import merge_pairs, merge_regions


def chart_layers(width: int, branches: int = 1) -> nn.Sequential:
    """Return conv1, conv2 and conv3_x of `branches` charts: (B, 3·n, S, S) to (B, n·width/2, S/2, S/2).

    Args:
        width: c = c_A / 8, the channels of a branch after conv4_x; before it c/4, c/2 and c/2.
    """
    first, second = branches * width // 4, branches * width // 2
    return nn.Sequential(
        OrderedDict(
            conv1=conv(3 * branches, first, 5, groups=branches),
            bn1=nn.BatchNorm2d(first),
            relu1=nn.ReLU(inplace=True),
            conv2=conv(first, second, 3, groups=branches),
            bn2=nn.BatchNorm2d(second),
            relu2=nn.ReLU(inplace=True),
            conv3_x=stage(BasicBlock, second, second, depth=2, stride=2, groups=branches),
        )
    )


def pair_layers(width: int, branches: int = 1) -> nn.Sequential:
    """Return conv4_x of `branches` pairs: (B, n·width/2, S/2, S/2) to (B, n·width, S/4, S/4)."""
    inputs, outputs = branches * width // 2, branches * width
    return stage(BasicBlock, inputs, outputs, depth=2, stride=2, groups=branches)


class GroupedBranches(nn.Module):
    """All branches at once: chart i + 1 is group i of the convolutions.

    Attributes:
        memory_format: of the maps inside the branches.
        output_format: of D; which one the heads are faster with depends on the device.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.memory_format = self.output_format = torch.contiguous_format
        self.charts = chart_layers(width, CHARTS)
        self.pairs = pair_layers(width, len(PAIRS))

    def forward(self, parts: torch.Tensor) -> torch.Tensor:
        """Map DSAP part images, float (B, 24, 3, S, S), to D (B, 8·width, S/4, S/4), the 8 maps side by side."""
        # 24 charts with 3 colours each become 24 groups of 3 channels; every convolution of `charts` has 24 groups, so
        # that no chart sees another before the maps are added up.
        x = parts.flatten(1, 2).contiguous(memory_format=self.memory_format)  # (B, 72, S, S)
        x = self.charts(x)  # (B, 24·c/2, S/2, S/2)
        # Left and right partners are added: 24 charts to 13 pairs, each with a conv4_x of its own. Then front and back
        # are added: 13 pairs to 8 regions, the maps D_1 … D_8 that the local heads read.
        x = merge_pairs(x.unflatten(1, (CHARTS, -1))).flatten(1, 2)  # (B, 13·c/2, S/2, S/2)
        x = self.pairs(x.contiguous(memory_format=self.memory_format))  # (B, 13·c, S/4, S/4)
        x = merge_regions(x.unflatten(1, (len(PAIRS), -1))).flatten(1, 2)  # (B, 8·c, S/4, S/4)
        return x.contiguous(memory_format=self.output_format)


class LoopBranches(nn.Module):
    """A network for each chart and for each pair, one after another: the reference.

    Attributes:
        memory_format: of the maps inside the branches.
        output_format: of D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.memory_format = self.output_format = torch.contiguous_format
        self.charts = nn.ModuleList(chart_layers(width) for _ in range(CHARTS))
        self.pairs = nn.ModuleList(pair_layers(width) for _ in PAIRS)

    def forward(self, parts: torch.Tensor) -> torch.Tensor:
        """Map DSAP part images, float (B, 24, 3, S, S), to D (B, 8·width, S/4, S/4), the 8 maps side by side."""
        charts = {
            chart: layers(parts[:, chart - 1].contiguous(memory_format=self.memory_format))
            for chart, layers in enumerate(self.charts, start=1)
        }
        pairs = {
            members: layers(sum(charts[chart] for chart in members))
            for members, layers in zip(PAIRS, self.pairs, strict=True)
        }
        # A region is the sum of those pairs whose charts it has.
        regions = [
            sum(map_ for members, map_ in pairs.items() if set(members) <= set(region))
            for region in BODY_REGIONS.values()
        ]
        return torch.cat(regions, dim=1).contiguous(memory_format=self.output_format)


def copy_weights(grouped: GroupedBranches, loop: LoopBranches) -> None:
    """Copy weights and running statistics of `grouped` into `loop`; branch i gets the i-th slice of each."""
    source = grouped.state_dict()
    for name, value in loop.state_dict().items():
        part, branch, layer = name.split(".", 2)  # "charts.3.conv1.weight"
        grouped_value = source[f"{part}.{layer}"]
        count = len(getattr(loop, part))
        value.copy_(grouped_value.chunk(count)[int(branch)] if grouped_value.ndim else grouped_value)
