"""How fast are pictures made features, and features searched?

    OMP_NUM_THREADS=1 python benchmarks/embed.py embedding [--device cpu]
    OMP_NUM_THREADS=1 python benchmarks/embed.py search [--gallery 500000]

Compared in the same run: `Model.embed` from JPEG files with torchvision's own ResNet-50 on tensors in memory, times the
ratio of their arithmetic (multiplications of convolutions, as counted here); ONNX on tensors in memory; search by
NumPy, from memory and from disk, with FAISS. Weights are drawn: they do not change the speed.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torchvision
from torch import nn

import dsa_reid
from data.images import encode_jpeg
from data.render import render
from data.shots import SynthConfig, plan, scene_of

RESULTS = Path(__file__).parent / "results"
D = 4096
QUERIES = (1, 100, 3368)


def multiplications(network: nn.Module, images: torch.Tensor) -> int:
    """Count the multiplications of all convolutions for one picture (1, 3, H, W)."""
    count = 0

    def add(layer: nn.Conv2d, _: Any, output: torch.Tensor) -> None:
        nonlocal count
        count += output[0].numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(add) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    with torch.inference_mode():
        network(images)
    for hook in hooks:
        hook.remove()
    return count


def seconds(work: dict[str, Callable[[], object]], rounds: int, device: str = "cpu", warm: int = 1) -> dict[str, float]:
    """Return the median time of each, taken in turn so that a busy machine troubles all alike."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + warm):
        for name, one in work.items():
            start = time.perf_counter()
            one()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn >= warm:  # the first turns warm up
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def draw_pictures(folder: Path, count: int) -> list[Path]:
    """Draw people as JPEG files of Market-1501's size, 128 x 64."""
    config = SynthConfig()
    paths = []
    for n, shots in enumerate(plan(config)[:count]):
        picture, _ = render(scene_of(config, shots[0]))
        paths.append(folder / f"{n:04}.jpg")
        paths[-1].write_bytes(encode_jpeg(picture))
    return paths


def embedding(folder: Path, device: str, batch: int, count: int, rounds: int) -> dict[str, Any]:
    """Time files to features against forwards of tensors in memory."""
    torch.manual_seed(0)
    model = dsa_reid.load(dsa_reid.save(dsa_reid.MainStream(), folder / "model.pt", dsa_reid.Preprocessing()), device)
    resnet = torchvision.models.resnet50().eval().to(device)
    images = torch.randn(batch, 3, 256, 128, device=device)
    ratio = multiplications(resnet, images[:1]) / multiplications(model.main_stream, images[:1])
    paths = draw_pictures(folder, count)

    def forward(network: nn.Module) -> Callable[[], None]:
        @torch.inference_mode()
        def all_batches() -> None:
            for _ in range(count // batch):
                network(images)

        return all_batches

    work: dict[str, Callable[[], object]] = {
        "embed, from files": lambda: model.embed(paths, batch),
        "main stream, tensors in memory": forward(model.main_stream),
        "torchvision ResNet-50, tensors in memory": forward(resnet),
    }
    if device == "cpu":
        run = dsa_reid.load_exported(dsa_reid.export(model, folder / "model.onnx")).run
        pixels = np.random.default_rng(0).integers(0, 256, (batch, 256, 128, 3), dtype=np.uint8)
        work["ONNX, arrays in memory"] = lambda: [run(pixels) for _ in range(count // batch)]
    rates = {name: count / taken for name, taken in seconds(work, rounds, device).items()}
    reached = rates["embed, from files"] / (rates["torchvision ResNet-50, tensors in memory"] * ratio)
    return {
        "pictures_a_second": {name: round(rate, 1) for name, rate in rates.items()},
        "arithmetic_of_resnet50_over_ours": round(ratio, 3),
        "embed_over_resnet50_times_ratio": round(reached, 3),
        "wanted": 0.8,
    }


def searching(folder: Path, count: int, queries: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Time searches of `count` features: NumPy from memory and from disk, and FAISS where it fits into memory."""
    generator = np.random.default_rng(0)
    stored = np.lib.format.open_memmap(folder / "gallery.npy", "w+", np.float16, (count, D))
    for start in range(0, count, 8192):
        rows = generator.standard_normal((min(8192, count - start), D), np.float32)
        stored[start : start + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    stored.flush()
    disk = np.load(folder / "gallery.npy", mmap_mode="r")
    query = generator.standard_normal((max(queries), D), np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    ways: dict[str, Callable[[np.ndarray], object]] = {"numpy, float16 on disk": lambda q: dsa_reid.search(q, disk)}
    if count <= 50_000:
        memory = disk[:].astype(np.float32)
        flat = dsa_reid.build_index(memory, "flat")
        ways["numpy, float32 in memory"] = lambda q: dsa_reid.search(q, memory)
        ways["faiss flat"] = lambda q: dsa_reid.search_index(flat, q)
    found = {}
    for number in queries:
        work = {name: functools.partial(way, query[:number]) for name, way in ways.items()}
        taken = seconds(work, rounds, warm=int(number < 1000))
        found[number] = {name: round(one, 4) for name, one in taken.items()}
    return {"features": count, "dimensions": D, "seconds_by_queries": found}


@click.command()
@click.argument("what", type=click.Choice(["embedding", "search", "both"]), default="both")
@click.option("--device", default="cpu", show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--pictures", "count", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--gallery", default=16_000, show_default=True, help="Features to search; 500000 takes 4 GB of disk.")
@click.option("--queries", multiple=True, type=int, default=QUERIES, show_default=True)
def main(what: str, device: str, batch: int, count: int, rounds: int, gallery: int, queries: tuple[int, ...]) -> None:
    """Measure, print and keep the results."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as folder:
        if what != "search":
            keep(f"embed_{device.split(':')[0]}", machine, embedding(Path(folder), device, batch, count, rounds))
        if what != "embedding":
            keep(f"search_{gallery // 1000}k", machine, searching(Path(folder), gallery, queries, rounds))


def keep(name: str, machine: dict[str, Any], found: dict[str, Any]) -> None:
    """Print what was found, and write it under `results`."""
    text = json.dumps({"machine": machine, **found}, indent=1)
    click.echo(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
