"""Time of one training step, against the same network and data in the style of other re-ID codebases.

    OMP_NUM_THREADS=1 python benchmarks/train_step.py              # small, as the demo: 64 images of 64x32
    python benchmarks/train_step.py --size paper --precision bfloat16 --device cuda

Both sides take turns in one run: data (reading and augmentation), forward, losses, backward, optimiser. Then the
parts are timed one by one, each switch of `train.speed` against the default, and the arithmetic is compared with a
matrix product of the same precision. Whole steps are timed by the clock; on a CPU everything in a single process is
timed in processor time, as other programs would disturb the clock.
"""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch
from naive.images import write_random_images
from naive.loader import Files, loader
from naive.network import naive_network
from timing.machine import origin, peak
from timing.parts import shares, utilisation
from timing.side import Batch, Side
from timing.turns import Turns

from dsa_app.config import build
from dsa_reid.upload import upload
from dsa_train.batches.feed import TrainingSet, epoch_order, feed
from dsa_train.config import TrainConfig
from dsa_train.network.two_stream import TwoStream

RESULTS = Path(__file__).parent / "results"
IDENTITIES = {"small": 100, "paper": 751}
SMALL = {
    "height": 64,
    "width": 32,
    "augment": {"pad": 4},
    "network": {"weights": "none", "main": {"trunk": "resnet18", "width": 0.25}},
}
PAPER = {"network": {"weights": "none"}}
TEXELS = {"small": 16, "paper": 32}
SWITCHES: dict[str, dict[str, Any]] = {  # against the defaults, one at a time
    "channels_last=false": {"speed": {"channels_last": False}},
    "compile=default": {"speed": {"compile": "default"}},
    "compile=reduce-overhead": {"speed": {"compile": "reduce-overhead"}},
    "fused_optimiser=false": {"speed": {"fused_optimiser": False}},
    "checkpoint_branches=true": {"speed": {"checkpoint_branches": True}},
    "branches=loop": {"network": {"branches": "loop"}},
    "precision=bfloat16": {"precision": "bfloat16"},
}
CPU_LACKS = ("compile=reduce-overhead",)  # CUDA graphs


@click.command()
@click.option("--size", type=click.Choice(["small", "paper"]), default="small", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--identities", default=16, show_default=True, help="P of a batch of P x 4 images.")
@click.option("--rounds", default=9, show_default=True, help="Steps of each side, in turns; the fastest counts.")
@click.option("--warm", default=2, show_default=True, help="Steps before them.")
@click.option("--loader-workers", default=1, show_default=True, help="Processes of the naive side's DataLoader.")
@click.option("--switch", "chosen", multiple=True, type=click.Choice(list(SWITCHES)), help="To time. [all]")
@click.option("--switches/--no-switches", default=True, show_default=True, help="Time each switch against the default.")
@click.option("--peak", "only_peak", hidden=True, help="Only measure the memory of one side, or of ours with a switch.")
def main(
    size: str,
    device: str,
    precision: str,
    identities: int,
    rounds: int,
    warm: int,
    loader_workers: int,
    chosen: tuple[str, ...],
    switches: bool,
    only_peak: str | None,
) -> None:
    """Measure and write benchmarks/results/train_step_<size>_<device>.json."""
    turns = Turns(torch.device(device), rounds, warm)
    values = {**(SMALL if size == "small" else PAPER), "precision": precision, "identities": identities}
    config = build(TrainConfig, values, "benchmark")
    able = [name for name in chosen or SWITCHES if turns.device.type == "cuda" or name not in CPU_LACKS]
    with tempfile.TemporaryDirectory() as folder:
        data, files = write_random_images(Path(folder), IDENTITIES[size], TEXELS[size], config)
        sides: dict[str, Callable[[], Side]] = {
            "ours": lambda: ours(data, config, turns.device),
            "naive": lambda: naive(data, files, config, turns.device, loader_workers),
            **{name: lambda name=name: ours(data, switched(values, name), turns.device) for name in able},
        }
        if only_peak:
            click.echo(memory(sides[only_peak]()))
            return
        result = {**origin(turns.device), "size": size, "precision": precision, "batch": 4 * identities}
        for measured in compared(sides["ours"](), sides["naive"](), data, turns):
            result |= measured
        result["peak_mib"] = {name: peak_mib(name, sides[name], turns.device) for name in ("ours", "naive")}
        result["switches"] = {}
        batch = next(sides["ours"]().batches)
        for name in able if switches else []:
            time = against_default(sides[name](), sides["ours"](), batch, turns)
            result["switches"][name] = {"time": round(time, 3), "peak_mib": peak_mib(name, sides[name], turns.device)}
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"train_step_{size}_{turns.device.type}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(f"{table(result)}\n{target}")


def compared(ours: Side, naive: Side, data: TrainingSet, turns: Turns) -> Iterator[dict[str, Any]]:
    """Yield the times of both sides, then of the parts of ours, then its arithmetic."""
    seconds = turns.seconds({"ours": ours.step, "naive": naive.step}, by_the_clock=True)
    batch = next(ours.batches)
    networks = turns.seconds({"ours": ours.repeat(batch), "naive": naive.repeat(batch)})
    yield {
        "ms_a_step": {name: round(1e3 * value, 2) for name, value in seconds.items()},
        "ms_without_data": {name: round(1e3 * value, 2) for name, value in networks.items()},
        "faster_than_naive": round(seconds["naive"] / seconds["ours"], 2),
        "faster_without_data": round(networks["naive"] / networks["ours"], 2),
        "epochs_an_hour_market1501": round(3600 / (seconds["ours"] * 12_936 / len(batch[2])), 1),
    }
    yield {"utilisation": utilisation(ours, batch, networks["ours"])}
    yield {"share_of_time": shares(ours, data, batch, turns)}


def against_default(switched: Side, default: Side, batch: Batch, turns: Turns) -> float:
    """Return the time of a step without data with a switch, as a share of the default's; no other side is in memory."""
    seconds = turns.seconds({"default": default.repeat(batch), "switched": switched.repeat(batch)})
    torch.compiler.reset()
    return seconds["switched"] / seconds["default"]


def ours(data: TrainingSet, config: TrainConfig, device: torch.device) -> Side:
    """Return the trainer's own step: images in memory, augmented as a batch on the device."""
    torch.manual_seed(0)
    data.images.load_into_memory(float("inf"), config.workers)
    network = TwoStream(config.network, data.identities).to(device)

    def batches() -> Iterator[Batch]:
        for epoch in itertools.count():
            order = epoch_order(data, config, epoch)
            read = data.images.batches(order.tolist(), config.workers, pin=device.type == "cuda")
            for step, (indices, batch) in enumerate(zip(order, read, strict=True)):
                images, parts, *_ = feed(batch.to(device), data, config, epoch, step)
                assert parts is not None, "the benchmark trains with the guide"
                yield images, parts, upload(data.labels[indices], device)

    return Side(network, config, batches(), ours=True)


def naive(data: TrainingSet, files: Files, config: TrainConfig, device: torch.device, workers: int) -> Side:
    """Return the loop of modules fed by PIL in a DataLoader."""
    torch.manual_seed(0)
    network = naive_network(config.network, data.identities).to(device)

    def batches() -> Iterator[Batch]:
        for epoch in itertools.count():
            for batch in loader(files, epoch_order(data, config, epoch).tolist(), workers):
                yield tuple(tensor.to(device) for tensor in batch)

    return Side(network, config, batches(), ours=False)


def switched(values: dict[str, Any], switch: str) -> TrainConfig:
    """Return the configuration with one switch changed."""
    change = SWITCHES[switch]
    network = {**values["network"], **change.get("network", {})}
    return build(TrainConfig, {**values, **change, "network": network}, "benchmark")


def memory(side: Side) -> int:
    """Take two steps; return the greatest memory in MiB: of a GPU since this call, else of the process."""
    if side.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(side.device)
    side.step()
    side.step()
    return peak(side.device)


def peak_mib(name: str, side: Callable[[], Side], device: torch.device) -> int:
    """Measure one side's memory: in place on a GPU, and on a CPU in a process of its own, whose peak starts at 0."""
    if device.type == "cuda":
        gc.collect()
        before = torch.cuda.memory_allocated(device) // 2**20
        return memory(side()) - before
    command = [sys.executable, *sys.argv, "--peak", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def table(result: dict[str, Any]) -> str:
    """Return the measurements as text."""
    lines = [
        f"{result['size']}, {result['precision']}, batch {result['batch']}: ms a step by the clock, and without data"
    ]
    for side in ("ours", "naive"):
        lines.append(
            f"  {side:6} {result['ms_a_step'][side]:9.1f} {result['ms_without_data'][side]:9.1f}"
            f"   peak {result['peak_mib'][side]} MiB"
        )
    lines.append(f"  faster  {result['faster_than_naive']:8.2f}x {result['faster_without_data']:8.2f}x")
    lines += [f"  {name:32} {share:6.1%}" for name, share in result["share_of_time"].items()]
    for name, found in result["switches"].items():
        lines.append(f"  {name:32} {found['time']:6.2f} of the time, peak {found['peak_mib']:.0f} MiB")
    lines.append(f"  utilisation {result['utilisation']['share']:.1%} of a matrix product")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
