"""The fastest memory layout of each part of a step, and the fastest way to compute the guide's 24 branches.

    OMP_NUM_THREADS=1 python benchmarks/layouts.py [--case paper] [--device cuda --precision bfloat16]

Each part separately, forward and backward, in all variants, which take turns in one run: those that `train.speed` and
`network.branches` select, at the demo's width, ResNet-18's own and the paper's. On a CPU in processor time.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from timing.both_ways import both_ways
from timing.machine import origin
from timing.turns import Turns
from torch import nn
from torchvision.transforms.v2 import functional as tv

from dsa_app.config import build
from dsa_reid.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from dsa_train.network.branches import GroupedBranches, LoopBranches
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream

RESULTS = Path(__file__).parent / "results"
CASES: dict[str, tuple[dict[str, Any], int, int, int, int]] = {  # main stream, B, H, W, S
    "demo": ({"trunk": "resnet18", "width": 0.25}, 64, 64, 32, 16),
    "resnet18": ({"trunk": "resnet18"}, 16, 256, 128, 32),
    "paper": ({"trunk": "resnet50"}, 4, 256, 128, 32),
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Split(nn.Module):
    """A grouped convolution, computed as a loop over its groups."""

    def __init__(self, grouped: nn.Conv2d) -> None:
        super().__init__()
        self.grouped = grouped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, h, w)."""
        layer = self.grouped
        groups = zip(x.chunk(layer.groups, 1), layer.weight.chunk(layer.groups), strict=True)
        return torch.cat([F.conv2d(x, w, None, layer.stride, layer.padding) for x, w in groups], 1)


def split(module: nn.Module) -> nn.Module:
    """Replace every grouped convolution by a `Split`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.groups > 1:
            setattr(module, name, Split(child))
        else:
            split(child)
    return module


def variants_of(case: str, device: torch.device, precision: str) -> dict[str, dict[str, Callable[[], object]]]:
    """Return for each part the jobs of its variants; the first is the default of the trainer."""
    main, B, H, W, S = CASES[case]
    torch.manual_seed(0)
    network = TwoStream(build(NetworkConfig, {"main": main, "weights": "none"}, "benchmark"), 100).train().to(device)
    stream, guide = network.main, network.guide
    assert guide is not None, "the benchmark trains with the guide"
    part = functools.partial(both_ways, device=device, precision=precision)
    images = torch.randn(B, 3, H, W, device=device)
    parts = torch.randn(B, 24, 3, S, S, device=device)
    maps = torch.randn(B, stream.channels, H // 16, W // 16, device=device)
    D = torch.randn(B, stream.channels, S // 4, S // 4, device=device)

    def laid_out(branches: nn.Module, form: str) -> Callable[[], object]:
        branches.memory_format = FORMATS[form]
        return part(lambda: branches(parts))

    width = stream.channels // 8
    jobs: dict[str, dict[str, Callable[[], object]]] = {
        "branches": {
            f"{name}, {form}": laid_out(make().train().to(device), form)
            for name, make in (
                ("grouped", lambda: GroupedBranches(width)),
                ("24 modules", lambda: LoopBranches(width)),
                ("loop within layers", lambda: split(GroupedBranches(width))),
            )
            for form in reversed(FORMATS)
        }
    }
    for name, layers, x, forms in (
        ("trunk", [stream.trunk], images, reversed(FORMATS)),
        ("heads of the main stream", [stream.global_head, stream.local_head], maps, reversed(FORMATS)),
        ("conv5_g", [guide.global_head], D, FORMATS),
        ("conv5_l", [guide.local_head], D, FORMATS),
    ):
        run = functools.partial(lambda layers, x: [layer(x) for layer in layers], layers)
        inputs = {form: x.contiguous(memory_format=FORMATS[form]) for form in forms}
        jobs[name] = {
            form: part(functools.partial(run, x)) if name == "trunk" else part(run, x) for form, x in inputs.items()
        }
    jobs["Adam"] = {
        name: optimiser(copy.deepcopy(network), fused).step for name, fused in (("fused", True), ("not fused", False))
    }
    pixels = torch.randint(0, 256, (64, H, W, 3), dtype=torch.uint8, device=device)
    jobs["normalisation of 64 images"] = {
        "ours": functools.partial(Preprocessing().normalise, pixels),
        "textbook": functools.partial(textbook, pixels),
    }
    return jobs


def optimiser(network: nn.Module, fused: bool) -> torch.optim.Adam:
    """Return Adam over parameters that have gradients."""
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    return torch.optim.Adam(network.parameters(), 1e-5, weight_decay=5e-4, fused=fused)


def textbook(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 (B, H, W, 3) to normalised float32 (B, 3, H, W) by torchvision: scale, subtract, divide."""
    return tv.normalize(tv.to_dtype(pixels.permute(0, 3, 1, 2), scale=True), IMAGENET_MEAN, IMAGENET_STD)


@click.command()
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="[all]")
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--rounds", default=5, show_default=True, help="In each, all variants run once; the fastest counts.")
@click.option("--warm", default=1, show_default=True, help="Rounds before these, to warm up.")
def main(cases: tuple[str, ...], device: str, precision: str, rounds: int, warm: int) -> None:
    """Measure and write benchmarks/results/layouts_<device>.json."""
    turns = Turns(torch.device(device), rounds, warm)
    result: dict[str, Any] = {**origin(turns.device), "precision": precision, "ms": {}}
    for case in cases or CASES:
        result["ms"][case] = {}
        for name, variants in variants_of(case, turns.device, precision).items():
            taken = {variant: round(1e3 * seconds, 1) for variant, seconds in turns.seconds(variants).items()}
            result["ms"][case][name] = taken
            click.echo(f"{case:9} {name:30} " + ", ".join(f"{variant} {ms}" for variant, ms in taken.items()))
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"layouts_{turns.device.type}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(target)


if __name__ == "__main__":
    main()
