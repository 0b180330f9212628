"""The network as a table: layers, output sizes, parameters and FLOPs, beside the paper's numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dsa_reid.config import MainStreamConfig
from dsa_reid.main_stream import MainStream

from .classifiers import Cosines
from .config import NetworkConfig
from .two_stream import TwoStream

LAYERS = (
    # part, layer, prefixes of its modules' names, branches; the paper: layers, channels of a branch, output size
    ("main", "conv1", ("main.trunk.conv1", "main.trunk.bn1"), 1, "7×7, 64, 128×64"),
    ("main", "conv2_x", ("main.trunk.layer1",), 1, "3 bottlenecks, 256, 64×32"),
    ("main", "conv3_x", ("main.trunk.layer2",), 1, "4 bottlenecks, 512, 32×16"),
    ("main", "conv4_x", ("main.trunk.layer3",), 1, "6 bottlenecks, 1024, 16×8"),
    ("main", "conv2 to conv5 of OSNet", tuple(f"main.trunk.conv{number}" for number in range(2, 6)), 1, ""),
    ("main", "trunk of timm", ("main.trunk.body", "main.trunk.sie"), 1, ""),
    ("main", "1×1 after the trunk", ("main.trunk.project",), 1, ""),
    ("main", "conv5_x, global", ("main.global_head",), 1, "3 bottlenecks, 2048, 16×8"),
    ("main", "conv5_x, local", ("main.local_head",), 8, "3 bottlenecks, 256, 16×8"),
    ("main", "conv4_x, conv5_x of MGN", ("main.part_head.branches",), 1, ""),
    ("main", "1×1 of MGN", ("main.part_head.reductions",), 1, ""),
    ("main", "1×1 of PCB", ("main.part_head.reduction",), 1, ""),
    ("main", "region heads", ("main.local_pooling.heads",), 1, ""),
    ("main", "1×1 at stride 8", ("main.local_pooling.fine",), 8, ""),
    ("main", "BNNeck", ("main.necks",), 1, ""),
    ("guide", "conv1", ("guide.branches.charts.conv1", "guide.branches.charts.bn1"), 24, "5×5, 32, 32×32"),
    ("guide", "conv2", ("guide.branches.charts.conv2", "guide.branches.charts.bn2"), 24, "3×3, 64, 32×32"),
    ("guide", "conv3_x", ("guide.branches.charts.conv3_x",), 24, "2 basic blocks, 64, 16×16"),
    ("guide", "conv4_x", ("guide.branches.pairs",), 13, "2 basic blocks, 128, 8×8"),
    ("guide", "conv5_g", ("guide.global_head",), 1, "2 basic blocks, 2048, 8×8"),
    ("guide", "conv5_l", ("guide.local_head",), 8, "2 basic blocks, 256, 8×8"),
    ("fusion", "FC", ("fuse_global", "fuse_local"), 1, "4096 → 2048"),
    ("classifiers", "BNNeck", ("necks",), 1, ""),
    ("classifiers", "FC, FC", ("classifiers",), 1, "two FC each"),
)
LAST_OF_MAIN = "BNNeck"  # the line after which those of the main stream are complete
HEAD = ("part", "layer", "output", "parameters", "GFLOP", "paper: layers, channels, size")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        output: "branches × channels × height×width"; empty where outputs are vectors.
        parameters: over all branches.
        flops: of one image's forward pass, a multiplication and an addition counted as two.
        paper: layers, channels of a branch, and output size in the paper's full scheme.
    """

    part: str
    layer: str
    output: str
    parameters: int
    flops: int
    paper: str


def rows(config: NetworkConfig, identities: int, height: int = 256, width: int = 128, size: int = 32) -> list[Row]:
    """Return the lines for the network of `config`, for images height×width and part images size×size."""
    config = dataclasses.replace(config, branches="grouped")  # the loop has the same numbers
    with torch.device("meta"):
        network = TwoStream(config, identities).eval().to("meta")  # a timm trunk is built on the CPU even so
        weighted = {name: module for name, module in network.named_modules() if _has_weights(module)}
        shapes = _output_shapes(network, weighted, torch.empty(1, 3, height, width), torch.empty(1, 24, 3, size, size))
    table = []
    for part, layer, prefixes, branches, paper in LAYERS:
        names = [
            name for name in weighted if any(name.startswith(f"{prefix}.") or name == prefix for prefix in prefixes)
        ]
        if names:
            own = tuple(f"{prefix}." for prefix in prefixes)
            counted = [p for name, p in network.named_parameters() if name.startswith(own) or name in prefixes]
            parameters = sum(p.numel() for p in counted)
            flops = sum(_flops(weighted[name], shapes[name]) for name in names)
            table.append(Row(part, layer, _size(shapes[names[-1]], branches), parameters, flops, paper))
        if (part, layer) == ("main", LAST_OF_MAIN):
            table += _products(network.main, height, width, sum(row.flops for row in table))
    return table


class Size(NamedTuple):
    """What is deployed: parameters, and FLOPs of one image, a multiplication and an addition counted as two."""

    parameters: int
    flops: int


def deployed_size(config: MainStreamConfig, height: int, width: int) -> Size:
    """Return the size of a main stream for images height×width; no weights are needed, and none are made."""
    with torch.device("meta"):
        main_stream = MainStream(config).eval().to("meta")
    return Size(sum(one.numel() for one in main_stream.parameters()), _flops_of(main_stream, height, width))


def _flops_of(main_stream: MainStream, height: int, width: int) -> int:
    """Return the FLOPs of one image on the meta device, by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        main_stream(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops())


def _products(main_stream: MainStream, height: int, width: int, counted: int) -> list[Row]:
    """Return a line of the products that are of no layer, those of attention; none without."""
    more = _flops_of(main_stream, height, width) - counted
    return [Row("main", "products of attention", "", 0, more, "")] if more else []


def summary(config: NetworkConfig, identities: int = 751, height: int = 256, width: int = 128, size: int = 32) -> str:
    """Return the table as text, with sums by part; 751 identities are Market-1501's."""
    lines = rows(config, identities, height, width, size)
    deployed = [row for row in lines if row.part == "main"]
    table = [HEAD]
    for part in dict.fromkeys(row.part for row in lines):
        own = [row for row in lines if row.part == part]
        table += [(row.part, row.layer, row.output, *_numbers([row]), row.paper) for row in own]
        if len(own) > 1:
            table.append((part, "all", "", *_numbers(own), ""))
    table.append(("everything", "", "", *_numbers(lines), ""))
    return (
        f"{_aligned(table)}\n\n"
        f"Forward pass of one {height}×{width} image with its 24 part images of {size}×{size}; a training step takes "
        "about three times as much.\nOnly the part 'main' is deployed: "
        f"{sum(row.parameters for row in deployed):,} parameters, {sum(row.flops for row in deployed) / 1e9:.3f} GFLOP."
    )


def plain(
    config: NetworkConfig, identities: int = 751, height: int = 256, width: int = 128, size: int = 32
) -> dict[str, Any]:
    """Return the table as plain values, for JSON: its rows, and parameters and FLOPs of what is deployed."""
    lines = rows(config, identities, height, width, size)
    deployed = [row for row in lines if row.part == "main"]
    return {
        "identities": identities,
        "image": [height, width],
        "part_image": size,
        "rows": [dataclasses.asdict(row) for row in lines],
        "deployed": {
            "parameters": sum(row.parameters for row in deployed),
            "flops": sum(row.flops for row in deployed),
        },
    }


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d | Cosines)


def _output_shapes(
    network: nn.Module, modules: dict[str, nn.Module], images: torch.Tensor, parts: torch.Tensor
) -> dict[str, torch.Size]:
    """Run the network; return the output shape of each of its `modules`."""
    names = {module: name for name, module in modules.items()}
    shapes: dict[str, torch.Size] = {}

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        shapes[names[module]] = output.shape

    for module in modules.values():
        module.register_forward_hook(note)
    network(images, parts)
    return shapes


def _flops(module: nn.Module, output: torch.Size) -> int:
    if not isinstance(module, nn.Conv2d | nn.Linear | Cosines):
        return 0  # batch norm, ReLU, adding and pooling are well under one in a hundred
    return 2 * output.numel() * module.weight[0].numel()


def _size(output: torch.Size, branches: int) -> str:
    if len(output) != 4:  # vectors, or a transformer's tokens
        return ""
    _, channels, height, width = output
    each = f"{channels // branches} × {height}×{width}"
    return each if branches == 1 else f"{branches} × {each}"


def _numbers(lines: Sequence[Row]) -> tuple[str, str]:
    return f"{sum(row.parameters for row in lines):,}", f"{sum(row.flops for row in lines) / 1e9:.3f}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    numbers = {HEAD.index("parameters"), HEAD.index("GFLOP")}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )
