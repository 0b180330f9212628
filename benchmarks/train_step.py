"""How long is one training step, against the same network and data as a re-ID codebase would write them?

    OMP_NUM_THREADS=1 python benchmarks/train_step.py              # small, as the demo: 64 pictures of 64x32
    python benchmarks/train_step.py --size paper --precision bfloat16 --device cuda

Both sides take turns in one run: data (reading and augmentation), forward, losses, backward, optimiser. Then the
parts are timed one by one, each switch of `train.speed` is tried against the default, and the arithmetic is held
against a matrix product of the same precision. Whole steps are timed by the clock; on a CPU all that needs no second
process is timed in processor time, since a busy machine would blur it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from naive.loader import Files, loader
from naive.network import naive_network
from torch.utils.flop_counter import FlopCounterMode

from data.config import build, to_dict
from data.images import encode_jpeg
from data.records import Entry, Record, index
from data.store import DsapStore, Header, pack, write_dsap
from dsap.config import WarpConfig
from train.config import TrainConfig
from train.device import autocast
from train.feed import TrainingSet, epoch_order, feed
from train.loop import Run
from train.losses import terms
from train.network import Outputs, TwoStream
from train.stage import read_data

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
SWITCHES: dict[str, dict[str, Any]] = {  # against the defaults, each by itself
    "channels_last=false": {"speed": {"channels_last": False}},
    "compile=default": {"speed": {"compile": "default"}},
    "compile=reduce-overhead": {"speed": {"compile": "reduce-overhead"}},
    "fused_optimiser=false": {"speed": {"fused_optimiser": False}},
    "checkpoint_branches=true": {"speed": {"checkpoint_branches": True}},
    "branches=loop": {"network": {"branches": "loop"}},
    "precision=bfloat16": {"precision": "bfloat16"},
}
CPU_LACKS = ("compile=reduce-overhead",)  # CUDA graphs
PICTURES = 4  # of each identity, on the disk


class Side:
    """One way to train, step by step.

    Args:
        network: on its device.
        batches: of pictures, parts and labels, endless.
        ours: with the trainer's switches and optimiser.
    """

    def __init__(
        self, network: TwoStream, config: TrainConfig, batches: Iterator[tuple[torch.Tensor, ...]], ours: bool
    ) -> None:
        self.network, self.config, self.batches = network.train(), config, batches
        self.device = next(network.parameters()).device
        self.optimiser = Run(network, config).optimiser if ours else torch.optim.Adam(network.parameters(), lr=1e-5)

    def step(self) -> None:
        """Take one step, data included."""
        images, parts, labels = next(self.batches)
        outputs = self.forward(images, parts)
        self.optimiser.zero_grad()
        torch.stack(list(terms(outputs, labels, self.config.losses).values())).sum().backward()
        self.optimiser.step()

    def forward(self, images: torch.Tensor, parts: torch.Tensor) -> Outputs:
        """Compute the network's outputs in the precision asked for."""
        with autocast(self.device, self.config.precision):
            return self.network(images, parts)


@click.command()
@click.option("--size", type=click.Choice(["small", "paper"]), default="small", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--identities", default=16, show_default=True, help="P of a batch of P x 4 pictures.")
@click.option("--rounds", default=9, show_default=True, help="Steps of each side, in turns; the fastest counts.")
@click.option("--loader-workers", default=1, show_default=True, help="Processes of the naive side's DataLoader.")
@click.option("--switches/--no-switches", default=True, show_default=True, help="Try each switch by itself.")
@click.option("--peak", hidden=True, help="Only measure the memory of one side, or of ours with a switch.")
def main(
    size: str,
    device: str,
    precision: str,
    identities: int,
    rounds: int,
    loader_workers: int,
    switches: bool,
    peak: str | None,
) -> None:
    """Measure and write benchmarks/results/train_step_<size>_<device>.json."""
    chosen = torch.device(device)
    values = {**(SMALL if size == "small" else PAPER), "precision": precision, "identities": identities}
    config = build(TrainConfig, values, "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        data, files = dataset(Path(folder), size, config)
        sides = {
            "ours": lambda: ours(data, config, chosen),
            "naive": lambda: naive(data, files, config, chosen, loader_workers),
        }
        if peak:
            side = sides[peak]() if peak in sides else ours(data, switched(values, peak), chosen)
            click.echo(memory(side, chosen))
            return
        made = {name: make() for name, make in sides.items()}
        seconds = timed({name: side.step for name, side in made.items()}, rounds, chosen)
        batch = next(made["ours"].batches)
        alone = {name: lambda side=side: without_data(side, batch) for name, side in made.items()}
        networks = timed(alone, rounds, chosen, processor)
        parts = shares(made["ours"], data, batch, rounds)
        result = {
            "command": " ".join(["python", *sys.argv]),
            "commit": commit(),
            "machine": machine(chosen),
            "size": size,
            "precision": precision,
            "batch": len(batch[2]),
            "ms_a_step": {name: round(1e3 * value, 2) for name, value in seconds.items()},
            "ms_without_data": {name: round(1e3 * value, 2) for name, value in networks.items()},
            "faster_than_naive": round(seconds["naive"] / seconds["ours"], 2),
            "faster_without_data": round(networks["naive"] / networks["ours"], 2),
            "share_of_time": parts,
            "utilisation": utilisation(made["ours"], batch, networks["ours"]),
            "peak_mib": {name: peak_of(name) for name in sides},
            "switches": tried(data, values, chosen, batch, rounds) if switches else {},
            "epochs_an_hour_market1501": round(3600 / (seconds["ours"] * 12_936 / len(batch[2])), 1),
        }
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"train_step_{size}_{chosen.type}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(f"{table(result)}\n{target}")


def dataset(folder: Path, size: str, config: TrainConfig) -> tuple[TrainingSet, Files]:
    """Write pictures and DSAP of noise under `folder`: as we read them, and as .npz files for the naive side."""
    rng = np.random.default_rng(0)
    S = TEXELS[size]
    entries = [
        Entry(f"bounding_box_train/{pid:04}_c{n % 6 + 1}s1_{n:06}_00.jpg", "train", pid, n % 6 + 1)
        for pid in range(1, IDENTITIES[size] + 1)
        for n in range(PICTURES)
    ]
    arrays = {}
    for entry in entries:
        path = folder / entry.key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_jpeg(rng.integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)))
        valid = rng.random((24, S, S)) < 0.5
        texels = rng.integers(0, 256, (24, S, S, 3), dtype=np.uint8) * valid[..., None]
        np.savez(path.with_suffix(".npz"), texels=texels, valid=valid)
        arrays[entry.key] = texels, valid
    records: list[Record] = index(folder, entries)
    chunks = [pack(*arrays[record.key], record.digest, "0" * 64) for record in records]
    header = Header("benchmark", {"warp": to_dict(WarpConfig(size=S))}, "made up")
    path = write_dsap(folder / "dsap.h5", header, S, [record.key for record in records], chunks)
    data = read_data(folder, records, DsapStore(path), config)
    paths = [folder / record.key for record in records]
    return data, Files(paths, data.labels, config.height, config.width, config.augment.pad)


def ours(data: TrainingSet, config: TrainConfig, device: torch.device) -> Side:
    """Return the trainer's own step: pictures in memory, augmented as a batch on the device."""
    torch.manual_seed(0)
    data.pictures.keep(float("inf"), config.workers)
    network = TwoStream(config.network, data.identities).to(device)

    def batches() -> Iterator[tuple[torch.Tensor, ...]]:
        for epoch in itertools.count():
            order = epoch_order(data, config, epoch)
            read = data.pictures.batches(order.tolist(), config.workers, pin=device.type == "cuda")
            for step, (places, batch) in enumerate(zip(order, read, strict=True)):
                images, parts = feed(batch.to(device), data, config, epoch, step)
                assert parts is not None, "the benchmark trains with the guide"
                yield images, parts, data.labels[places].to(device)

    return Side(network, config, batches(), ours=True)


def naive(data: TrainingSet, files: Files, config: TrainConfig, device: torch.device, workers: int) -> Side:
    """Return the loop of modules fed by PIL in a DataLoader."""
    torch.manual_seed(0)
    network = naive_network(config.network, data.identities).to(device)

    def batches() -> Iterator[tuple[torch.Tensor, ...]]:
        for epoch in itertools.count():
            for batch in loader(files, epoch_order(data, config, epoch).tolist(), workers):
                yield tuple(tensor.to(device) for tensor in batch)

    return Side(network, config, batches(), ours=False)


def switched(values: dict[str, Any], switch: str) -> TrainConfig:
    """Return the configuration with one switch changed."""
    change = SWITCHES[switch]
    network = {**values["network"], **change.get("network", {})}
    return build(TrainConfig, {**values, **change, "network": network}, "benchmark")


def tried(
    data: TrainingSet, values: dict[str, Any], device: torch.device, batch: tuple[torch.Tensor, ...], rounds: int
) -> dict[str, dict[str, float]]:
    """Return for each switch the time of a step without data, as a share of the default's in the same run, and MiB."""
    able = [name for name in SWITCHES if device.type == "cuda" or name not in CPU_LACKS]
    sides = {"default": ours(data, build(TrainConfig, values, "benchmark"), device)}
    sides |= {name: ours(data, switched(values, name), device) for name in able}
    jobs = {name: lambda side=side: without_data(side, batch) for name, side in sides.items()}
    seconds = timed(jobs, rounds, device, processor)
    return {name: {"time": round(seconds[name] / seconds["default"], 3), "peak_mib": peak_of(name)} for name in able}


def without_data(side: Side, batch: tuple[torch.Tensor, ...]) -> None:
    """Take a step with a batch that is ready."""
    side.batches = itertools.repeat(batch)
    side.step()


def timed(
    jobs: dict[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    now: Callable[[torch.device], float] | None = None,
) -> dict[str, float]:
    """Return the seconds of each job's fastest round, all taking turns, after two rounds to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 2):
        for name, job in jobs.items():
            start = (now or clock)(device)
            job()
            if turn >= 2:
                seconds[name].append((now or clock)(device) - start)
    return {name: min(found) for name, found in seconds.items()}


def clock(device: torch.device) -> float:
    """Return the time once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def processor(device: torch.device) -> float:
    """Return the processor time of this process, which other programs leave alone; on a GPU as `clock`."""
    return clock(device) if device.type == "cuda" else time.process_time()


def shares(side: Side, data: TrainingSet, batch: tuple[torch.Tensor, ...], rounds: int) -> dict[str, float]:
    """Return each part's share of a step, forward and backward, each timed by itself."""
    images, parts, labels = batch
    network, config, device = side.network, side.config, side.device
    main, guide = network.main, network.guide
    assert guide is not None, "the benchmark trains with the guide"
    with torch.no_grad(), autocast(device, config.precision):
        F, D = main.trunk(images), guide.branches(parts)
        outputs = network(images, parts)
    order = epoch_order(data, config, 0)[0].tolist()

    def both_ways(work: Callable[..., Any], *inputs: torch.Tensor) -> Callable[[], None]:
        def job() -> None:
            leaves = [x.detach().requires_grad_(x.is_floating_point() and x is not images) for x in inputs]
            with autocast(device, config.precision):
                found = work(*leaves)
            tensors = [x for x in torch.utils._pytree.tree_leaves(found) if isinstance(x, torch.Tensor)]
            torch.autograd.backward(tensors, [torch.ones_like(x) for x in tensors])

        return job

    def reading() -> None:
        feed(data.pictures.read(order).to(device), data, config, 0, 0)

    def losing() -> None:
        leaves = outputs._asdict() | {
            name: getattr(outputs, name).detach().requires_grad_() for name in ("z_global", "z_local")
        }
        leaves["logits"] = {name: x.detach().requires_grad_() for name, x in outputs.logits.items()}
        torch.stack(list(terms(Outputs(**leaves), labels, config.losses).values())).sum().backward()

    def classifying(*features: torch.Tensor) -> list[torch.Tensor]:
        return [layers(x) for layers, x in zip(network.classifiers.values(), features, strict=True)]

    inputs = (outputs.f_global, *outputs.f_local.unbind(1), outputs.z_global, outputs.z_local.flatten(1))
    jobs: dict[str, Callable[[], object]] = {
        "data": reading,
        "trunk": both_ways(main.trunk, images),
        "branches": both_ways(guide.branches, parts),
        "heads (conv5 of both streams)": both_ways(
            lambda f, d: (main.global_head(f), main.local_head(f), guide.global_head(d), guide.local_head(d)), F, D
        ),
        "classifiers": both_ways(classifying, *inputs),
        "losses": losing,
        "optimiser": side.optimiser.step,
    }
    seconds = timed(jobs, rounds, device, processor)
    total = sum(seconds.values())
    return {name: round(value / total, 4) for name, value in seconds.items()}


def utilisation(side: Side, batch: tuple[torch.Tensor, ...], seconds: float) -> dict[str, float]:
    """Return the arithmetic of a step a second beside that of a matrix product of the same precision."""
    images, parts, _ = batch
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        side.network(images, parts)
    gflop = 3 * counter.get_total_flops() / 1e9  # backward is twice the forward pass
    n = 1024 if side.device.type == "cpu" else 8192
    a = torch.randn((n, n), device=side.device).to(getattr(torch, side.config.precision))
    product = timed({"product": lambda: a @ a}, 5, side.device, processor)["product"]
    reached, possible = gflop / seconds, 2e-9 * n**3 / product
    return {
        "gflop_a_step": round(gflop, 1),
        "gflop_a_second": round(reached, 1),
        "gflop_a_second_of_a_matrix_product": round(possible, 1),
        "share": round(reached / possible, 3),
    }


def memory(side: Side, device: torch.device) -> int:
    """Take two steps; return the greatest memory in MiB, of the process or, where there is one, of the GPU."""
    side.step()
    side.step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    status = Path("/proc/self/status").read_text()  # getrusage would count what the parent took before exec
    return int(status.split("VmHWM:")[1].split()[0]) // 2**10


def peak_of(side: str) -> int:
    """Measure one side's memory in a process of its own."""
    command = [sys.executable, *sys.argv, "--peak", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def commit() -> str:
    """Return the commit that was measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    found: dict[str, Any] = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    found |= {"load": os.getloadavg()[0], "torch": torch.__version__, "device": str(device)}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def table(result: dict[str, Any]) -> str:
    """Return the numbers for people."""
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
