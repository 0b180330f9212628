"""Speed of the native engine against one image at a time at detectron2's default test size.

    OMP_NUM_THREADS=1 python benchmarks/extract.py

The default recipe is 800 pixels on the shortest side and 1,000 proposals, run by detectron2 itself if it is installed.
Both compute the heads of one person a crop, which favours the default recipe: it would compute those of all people
detected, up to 100. Weights are random, since speed does not depend on them.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from densepose_extract.engines.detectron import DetectronEngine
from densepose_extract.engines.native import NativeEngine
from densepose_extract.engines.network_engine import NetworkEngine
from densepose_extract.engines.people import deterministic_inference
from densepose_extract.engines.placing import place_maps
from densepose_extract.engines.sizing import network_input, resized_size
from densepose_extract.network import build
from densepose_extract.recipe import Recipe
from dsa_app.errors import EngineError

RESULTS = Path(__file__).parent / "results"
HEIGHT, WIDTH = 128, 64  # of the crops: Market-1501's
DEFAULT = Recipe(min_size=800, proposals=1000, detections=1, batch=1)


@click.command()
@click.option("--model", default="R_50_FPN_s1x", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--batch", default=8, show_default=True, help="Images in a batch of the native engine.")
@click.option("--rounds", default=2, show_default=True, help="In each, all jobs run once; the fastest counts.")
def main(model: str, device: str, batch: int, rounds: int) -> None:
    """Measure and write benchmarks/results/extract_<device>.json."""
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 256, (batch, HEIGHT, WIDTH, 3), dtype=np.uint8))
    with checkpoint(model) as path:
        native = {name: NativeEngine(path, device, name, Recipe(batch=batch)) for name in NativeEngine.precisions}
        default = dict(references(path, device))
    jobs: dict[str, Callable[[], object]] = {}
    for name, engine in native.items():
        jobs[name] = functools.partial(engine.extract, crops)
        jobs[f"product {name}"] = functools.partial(product, side(engine), side(engine))
    for name, reference in default.items():
        jobs[name] = functools.partial(reference.extract, crops[:1])
    seconds = timed(jobs, rounds, torch.device(device))

    result: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine(device), "model": model}
    for name, engine in native.items():
        gflop = operations(engine, crops) / 1e9
        result[name] = {
            "images_a_second": round(batch / seconds[name], 3),
            "share_of_time": shares(engine, crops),
            "gflop_an_image": round(gflop / batch, 1),
            "gflop_a_second": round(gflop / seconds[name], 1),
            "gflop_a_second_of_a_matrix_product": round(2e-9 * len(side(engine)) ** 3 / seconds[f"product {name}"], 1),
        }
        if engine.device.type == "cuda":
            result[name]["gpu_utilisation"] = utilisation(engine, crops)
    for name in default:
        faster = {precision: round(batch / seconds[precision] * seconds[name], 1) for precision in native}
        result[name] = {"images_a_second": round(1 / seconds[name], 4), "native_is_faster_by": faster}
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"extract_{torch.device(device).type}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(f"{json.dumps(result, indent=2)}\n{target}")


@contextmanager
def checkpoint(model: str) -> Iterator[Path]:
    """Write random weights as a checkpoint, which is deleted at the end of the context."""
    torch.manual_seed(0)
    entries = {name: value.numpy() for name, value in build(model).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pkl"
        path.write_bytes(pickle.dumps({"model": entries}))
        yield path


def references(path: Path, device: str) -> Iterator[tuple[str, NetworkEngine]]:
    """Yield the alternatives: the default recipe in detectron2, and in the native engine."""
    try:
        yield "default_recipe_detectron2", DetectronEngine(path, device, recipe=DEFAULT)
    except EngineError:
        click.echo("detectron2 is not installed: its default recipe is run by the native engine only.", err=True)
    yield "default_recipe_native", NativeEngine(path, device, recipe=DEFAULT)


def timed(jobs: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Return the seconds of each job's fastest round, after one to warm up."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for counts in [False] + [True] * rounds:
        for name, job in jobs.items():
            start = clock(device)
            job()
            if counts:
                seconds[name] = min(seconds[name], clock(device) - start)
    return seconds


def clock(device: torch.device) -> float:
    """Return the time after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def shares(engine: NativeEngine, crops: list[np.ndarray]) -> dict[str, float]:
    """Return each step's share of the time of one batch, the whole crop taken as the person's box."""
    network, recipe = engine.network, engine.recipe
    resized = [resized_size(HEIGHT, WIDTH, recipe.min_size, recipe.max_size)] * len(crops)
    boxes = [torch.tensor([[0.0, 0.0, size[1], size[0]]], device=engine.device) for size in resized]
    whole = torch.tensor([0.0, 0.0, WIDTH, HEIGHT])
    steps = {}
    with deterministic_inference():
        x, steps["resizing"] = step(engine, lambda: network_input(crops, resized, engine.device))
        maps, steps["backbone"] = step(engine, lambda: network.features(x))
        proposals, steps["rpn"] = step(engine, lambda: network.propose(maps, resized, recipe.proposals))
        people = lambda: network.people(maps, proposals, resized, recipe.score_threshold, recipe.detections)  # noqa: E731
        _, steps["box head"] = step(engine, people)
        heads, steps["densepose heads"] = step(engine, lambda: network.surface(maps, boxes))
        boxes, sizes = [whole] * len(crops), [(HEIGHT, WIDTH)] * len(crops)
        _, steps["resampling"] = step(engine, lambda: place_maps(heads, boxes, sizes, [None] * len(crops)))
    total = sum(steps.values())
    return {name: round(seconds / total, 4) for name, seconds in steps.items()}


def step(engine: NativeEngine, work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of `work` and its seconds."""
    start = clock(engine.device)
    result = work()
    return result, clock(engine.device) - start


def operations(engine: NativeEngine, crops: list[np.ndarray]) -> int:
    """Count the floating-point operations of one batch's convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        engine.extract(crops)
    return counter.get_total_flops()


def utilisation(engine: NativeEngine, crops: list[np.ndarray]) -> int:
    """Return the GPU's utilisation, in percent, during the last of three seconds of work."""
    start = time.perf_counter()
    while time.perf_counter() - start < 3:
        engine.extract(crops)
    return torch.cuda.utilization(engine.device)


@functools.cache
def side(engine: NativeEngine) -> Tensor:
    """Return a square matrix that is large enough for its product with itself to reach the device's limit."""
    size = 1024 if engine.device.type == "cpu" else 8192
    return torch.randn((size, size), device=engine.device).to(engine.precisions[engine.precision])


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product: the limit that the network's operations are compared with."""
    return a @ b


def machine(device: str) -> dict[str, Any]:
    """Return the processor and the device, on which the numbers depend."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    description: dict[str, Any] = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    description |= {"torch": torch.__version__, "device": device}
    if torch.device(device).type == "cuda":
        description["gpu"] = torch.cuda.get_device_name(device)
    return description


if __name__ == "__main__":
    main()
