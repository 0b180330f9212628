"""Speed of embedding images and of searching features.

    OMP_NUM_THREADS=1 python benchmarks/embed.py embedding [--device cpu]
    OMP_NUM_THREADS=1 python benchmarks/embed.py search [--gallery 500000 --dimensions 512]
    OMP_NUM_THREADS=1 python benchmarks/embed.py search --gallery 500000 --from-disk --rounds 1

Compared in the same run: `Model.embed` from JPEG files with torchvision's own ResNet-50 on tensors in memory, times the
ratio of their arithmetic (multiplications of convolutions, as counted here); ONNX on tensors in memory; search by
NumPy from memory and from disk with that by FAISS, and the recall of its approximate indexes at the ten nearest.
Weights are random, since speed does not depend on them. Features are sampled in clusters, as those of people are.

On a CPU all times are processor time, as other programs would disturb the clock: of embedding with the threads that
decode, of search without the wait for a disk. The fastest round counts.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torchvision
from timing.machine import origin, peak
from timing.turns import Turns
from torch import nn

import dsa_reid
from dsa_data.images import encode_jpeg
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of

RESULTS = Path(__file__).parent / "results"
CPU = torch.device("cpu")
QUERIES = (1, 100, 3368)
TOP = 10
EACH, ALIKE = 25, 100  # images of a person, and people dressed alike, in the gallery
SPREAD = {"alike": 1.0, "person": 0.7, "image": 0.9}  # of features: cosines of 0.65 within, 0.43 among those alike
BLOCK = 8192  # features written or read at a time, and used to estimate the time to build an index


def multiplications(network: nn.Module, images: torch.Tensor) -> int:
    """Count the multiplications of all convolutions for one image (1, 3, H, W)."""
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


def render_images(folder: Path, count: int) -> list[Path]:
    """Render people as JPEG files of Market-1501's size, 128 x 64."""
    config = SynthConfig()
    paths = []
    for n, shots in enumerate(plan(config)[:count]):
        image, _ = render(scene_of(config, shots[0]))
        paths.append(folder / f"{n:04}.jpg")
        paths[-1].write_bytes(encode_jpeg(image))
    return paths


def embedding(folder: Path, paths: Sequence[Path], batch: int, turns: Turns, onnx: bool = True) -> dict[str, Any]:
    """Time embedding from files against forward passes of tensors in memory, and on a CPU against ONNX Runtime."""
    count = len(paths)
    torch.manual_seed(0)
    device = turns.device
    model = dsa_reid.load(dsa_reid.save(dsa_reid.MainStream(), folder / "model.pt", dsa_reid.Preprocessing()), device)
    resnet = torchvision.models.resnet50().eval().to(device)
    images = torch.randn(batch, 3, 256, 128, device=device)
    ratio = multiplications(resnet, images[:1]) / multiplications(model.main_stream, images[:1])

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
    if device.type == "cpu" and onnx:
        run = dsa_reid.load_exported(dsa_reid.export(model, folder / "model.onnx")).run
        pixels = np.random.default_rng(0).integers(0, 256, (batch, 256, 128, 3), dtype=np.uint8)
        work["ONNX, arrays in memory"] = lambda: [run(pixels) for _ in range(count // batch)]
    rates = {name: count / taken for name, taken in turns.seconds(work).items()}
    reached = rates["embed, from files"] / (rates["torchvision ResNet-50, tensors in memory"] * ratio)
    return {
        "images_a_second": {name: round(rate, 1) for name, rate in rates.items()},
        "arithmetic_of_resnet50_over_ours": round(ratio, 3),
        "embed_over_resnet50_times_ratio": round(reached, 3),
        "wanted": 0.8,  # the target: decoding and resizing take at most a fifth of the time
    }


def sample_features(path: Path, count: int, D: int, queries: int) -> np.ndarray:
    """Write `count` features of length one, `EACH` of a person, to a float16 .npy; return queries of these people."""
    generator = np.random.default_rng(0)

    def spread(number: int, what: str) -> np.ndarray:
        return generator.standard_normal((number, D), np.float32) * np.float32(SPREAD[what] / D**0.5)

    people = spread(math.ceil(count / EACH), "person")
    people += np.repeat(spread(math.ceil(len(people) / ALIKE), "alike"), ALIKE, axis=0)[: len(people)]

    def around(number: int) -> np.ndarray:
        features = people[generator.integers(len(people), size=number)] + spread(number, "image")
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    stored = np.lib.format.open_memmap(path, "w+", np.float16, (count, D))
    for start in range(0, count, BLOCK):
        stored[start : start + BLOCK] = around(min(BLOCK, count - start))
    stored.flush()
    return around(queries)


def flat_from_disk(query: np.ndarray, disk: np.ndarray) -> np.ndarray:
    """Search a gallery on disk by FAISS, a block at a time; return indices (Q, 10)."""
    import faiss  # which measuring the embedding does not need

    best = faiss.ResultHeap(len(query), TOP)
    for start in range(0, len(disk), BLOCK):
        rows = disk[start : start + BLOCK].astype(np.float32)
        squared, indices = faiss.knn(query, rows, min(TOP, len(rows)))
        best.add_result(squared, indices + start)
    best.finalize()
    return best.I


def affordable(rows: np.ndarray, kind: str, limit: float) -> int:
    """Return how many of the rows an index can be built of in `limit` seconds of one core, halving their number."""
    start = time.process_time()
    dsa_reid.build_index(rows[:BLOCK], kind)
    taken, count = time.process_time() - start, len(rows)
    while count > BLOCK and taken * count / BLOCK * math.log(count) / math.log(BLOCK) > limit:
        count //= 2
    return count


def searching(folder: Path, count: int, D: int, from_disk: bool, limit: float, turns: Turns) -> dict[str, Any]:
    """Time searches of `count` features of `D` dimensions, one method after another, with one gallery in memory."""
    query = sample_features(folder / "gallery.npy", count, D, max(QUERIES))
    disk = np.load(folder / "gallery.npy", mmap_mode="r")
    result: dict[str, Any] = {"features": count, "dimensions": D, "ways": {}}

    def measure(name: str, way: Callable[[np.ndarray], np.ndarray], **more: Any) -> np.ndarray:
        results: dict[int, np.ndarray] = {}

        def job(number: int) -> None:
            results[number] = way(query[:number])

        jobs = {number: functools.partial(job, number) for number in QUERIES}
        taken = {str(number): round(seconds, 4) for number, seconds in turns.seconds(jobs).items()}
        result["ways"][name] = {"seconds_by_queries": taken, **more}
        click.echo(f"{name}: {result['ways'][name]}")
        return results[max(QUERIES)]

    measure("numpy, float16 on disk", lambda q: dsa_reid.search(q, disk, TOP).indices)
    if from_disk:
        measure("faiss flat, float16 on disk, a block at a time", lambda q: flat_from_disk(q, disk))
        return {**result, "peak_mib": peak(CPU)}
    memory = disk[:].astype(np.float32)
    exact = measure("numpy, float32 in memory", lambda q: dsa_reid.search(q, memory, TOP).indices)
    for kind in ("flat", "ivf", "hnsw"):
        held = affordable(memory, kind, limit)
        start = time.process_time()
        index = dsa_reid.build_index(memory[:held], kind)
        more = {"of": held, "built_in": round(time.process_time() - start, 1)}
        truth = exact if held == count else dsa_reid.search(query, memory[:held], TOP).indices
        near = dsa_reid.search_index(index, query, TOP).indices
        more["recall_at_10"] = round(
            statistics.mean(len({*a} & {*b}) / TOP for a, b in zip(near, truth, strict=True)), 4
        )
        measure(f"faiss {kind}", lambda q, index=index: dsa_reid.search_index(index, q, TOP).indices, **more)
        del index
    return {**result, "peak_mib": peak(CPU)}


@click.command()
@click.argument("what", type=click.Choice(["embedding", "search", "both"]), default="both")
@click.option("--device", default="cpu", show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--images", "count", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--gallery", default=16_000, show_default=True, help="Features to search.")
@click.option("--dimensions", default=4096, show_default=True, help="Of a feature: 4096 the paper's, 256 the demo's.")
@click.option("--from-disk", is_flag=True, help="Only methods without the gallery in memory; 500000 take 4 GB of disk.")
@click.option(
    "--limit",
    default=600.0,
    show_default=True,
    help="Seconds to build an index; if it would take longer, of fewer features.",
)
def main(
    what: str,
    device: str,
    batch: int,
    count: int,
    rounds: int,
    gallery: int,
    dimensions: int,
    from_disk: bool,
    limit: float,
) -> None:
    """Measure, print and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        if what != "search":
            paths = render_images(Path(folder), count)
            measured = embedding(Path(folder), paths, batch, Turns(torch.device(device), rounds, warm=1))
            keep(f"embed_{device.split(':')[0]}", {**origin(torch.device(device)), **measured})
        if what != "embedding":
            measured = searching(Path(folder), gallery, dimensions, from_disk, limit, Turns(CPU, rounds, warm=0))
            keep(f"search_{gallery // 1000}k_{dimensions}", {**origin(CPU), **measured})


def keep(name: str, measured: dict[str, Any]) -> None:
    """Print the measurements, and write them under `results`."""
    text = json.dumps(measured, indent=1)
    click.echo(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
