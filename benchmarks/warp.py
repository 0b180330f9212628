"""Speed of the warp against the alternatives; size and speed of the store.

    OMP_NUM_THREADS=1 python benchmarks/warp.py [--converter DIR]

Compared in the same run: the loop over pixels, the loop over the 24 charts as in DensePose's texture notebook, and
UVTextureConverter 1.2.0, if it is installed in a folder of its own:
pip install --no-deps --target DIR UVTextureConverter==1.2.0
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
import numpy as np
from joblib.externals.loky import get_reusable_executor

from dsa_data.images import encode_jpeg
from dsa_data.records import Entry, index, write_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of
from dsap.coarse import crop
from dsap.config import WarpConfig
from dsap.stage import build
from dsap.warp import warp

ROUNDS = 15
COMPARED = 24  # images in a round of the comparison
Pair = tuple[np.ndarray, np.ndarray]


def pixel_loop(image: np.ndarray, iuv: np.ndarray, size: int = 32) -> Pair:
    """Copy pixel by pixel, as the paper describes it."""
    texels, valid = np.zeros((24, size, size, 3), np.uint8), np.zeros((24, size, size), bool)
    height, width = iuv.shape[:2]
    for y in range(height):
        for x in range(width):
            chart, u, v = iuv[y, x]
            if chart > 0:
                row, column = min(int(u) * size // 255, size - 1), min(int(v) * size // 255, size - 1)
                texels[chart - 1, row, column] = image[y, x]
                valid[chart - 1, row, column] = True
    return texels, valid


def chart_loop(image: np.ndarray, iuv: np.ndarray, size: int = 32) -> Pair:
    """Copy chart by chart, with np.where."""
    texels, valid = np.zeros((24, size, size, 3), np.uint8), np.zeros((24, size, size), bool)
    for chart in range(1, 25):
        y, x = np.where(iuv[..., 0] == chart)
        row = np.minimum(iuv[y, x, 1].astype(int) * size // 255, size - 1)
        column = np.minimum(iuv[y, x, 2].astype(int) * size // 255, size - 1)
        texels[chart - 1, row, column] = image[y, x]
        valid[chart - 1, row, column] = True
    return texels, valid


def converter(folder: Path | None) -> Callable[[np.ndarray, np.ndarray], Pair] | None:
    """Return UVTextureConverter's function of an image and its map; None if it is not installed."""
    if folder is None:
        return None
    sys.path.append(str(folder))
    convert = importlib.import_module("UVTextureConverter").UVConverter.create_texture
    return lambda image, iuv: convert(image / 255, iuv[..., ::-1] / 255, parts_size=32, concat=False)


def people(height: int, width: int, count: int) -> list[Pair]:
    """Render images of people with their maps, without those that show no person."""
    config = SynthConfig(train_identities=count, test_identities=1, height=height, width=width)
    pairs = [render(scene_of(config, shots[0])) for shots in plan(config)[:count]]
    return [pair for pair in pairs if pair[1].any()]


def times(jobs: dict[str, Callable[[], object]], images: int) -> dict[str, float]:
    """Return microseconds of processor time an image, the median over rounds in which all jobs take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name].append(time.process_time() - start)
    return {name: round(statistics.median(measured) / images * 1e6, 1) for name, measured in seconds.items()}


def compare(pairs: Sequence[Pair], convert: Callable[[np.ndarray, np.ndarray], Pair] | None) -> dict[str, Any]:
    """Time all functions that warp the pairs at S = 32, and return how many times faster than each the warp is."""
    functions: dict[str, Callable[..., Pair]] = {
        "warp": warp,
        "warp, mean": lambda image, iuv: warp(image, iuv, collision="mean"),
        "coarse": crop,
        "loop over charts": chart_loop,
        "loop over pixels": pixel_loop,
    }
    if convert:
        functions["UVTextureConverter"] = convert
    microseconds = times({name: each(function, pairs) for name, function in functions.items()}, len(pairs))
    return {
        "body": round(float(np.mean([iuv[..., 0] > 0 for _, iuv in pairs])), 3),
        "microseconds": microseconds,
        "warp is faster by": {
            name: round(microseconds[name] / microseconds["warp"], 1) for name in list(functions)[3:]
        },
    }


def each(function: Callable[..., Pair], pairs: Sequence[Pair]) -> Callable[[], None]:
    """Return a job that warps the pairs and keeps nothing."""

    def job() -> None:
        for image, iuv in pairs:
            function(image, iuv)

    return job


def dataset(folder: Path, pairs: Sequence[Pair], count: int) -> None:
    """Write `count` images, the pairs repeated, with manifest and maps."""
    entries, maps = [], []
    jpegs = [encode_jpeg(image) for image, _ in pairs]
    for number in range(count):
        key = f"{number // 1000:03}/{number:06}.jpg"
        path = folder / "images" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpegs[number % len(pairs)])
        entries.append(Entry(key, "train", number, 1))
        maps.append(pairs[number % len(pairs)][1])
    records = index(folder / "images", entries, jobs=2)
    write_manifest(records, folder / "manifest.csv")
    no_box = np.full(4, np.nan)
    iuv_maps = (IuvMap(iuv, 1.0, no_box, "found", r.digest, r.digest) for iuv, r in zip(maps, records, strict=True))
    shapes = np.array([iuv.shape[:2] for iuv in maps])
    keys = [record.key for record in records]
    write_iuv(folder / "iuv.h5", Header("bench", {"engine": "rendered"}, ""), keys, shapes, iuv_maps)


def end_to_end(folder: Path, count: int, jobs: int) -> dict[str, float]:
    """Build from nothing, with the start of the workers; return images a second and processor time an image."""
    out = folder / "dsap.h5"
    out.unlink(missing_ok=True)
    before, start = processors(), time.perf_counter()
    build(folder / "manifest.csv", folder / "iuv.h5", out, WarpConfig(), folder / "images", jobs=jobs)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # processor time of children counts after they end
    return {
        "images a second": round(count / seconds),
        "processor microseconds an image": round((processors() - before) / count * 1e6),
    }


def median(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each number over runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def processors() -> float:
    """Return the processor time of this process and of its children that have ended, in seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def reading(path: Path) -> dict[str, float]:
    """Return the store's size and how fast one process reads images in random order."""
    store = DsapStore(path)
    indices = np.random.default_rng(0).permutation(len(store))[:3000].tolist()

    def read() -> None:
        for n in indices:
            store.read(n)

    took = times({"read": read}, len(indices))["read"]
    return {
        "bytes an image": round(path.stat().st_size / len(store)),
        "valid texels": round(float(store.counts.sum(axis=1).mean() / (24 * store.size**2)), 3),
        "random images a second": round(1e6 / took),
    }


@click.command()
@click.option("--converter", "folder", type=click.Path(path_type=Path, exists=True), help="Of UVTextureConverter.")
@click.option("--images", "built", default=16000, show_default=True, help="Of the whole builds at 128x64.")
def main(folder: Path | None, built: int) -> None:
    """Measure and write benchmarks/results/warp.json."""
    convert = converter(folder)
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}",
        "command": "OMP_NUM_THREADS=1 python benchmarks/warp.py" + (" --converter DIR" if folder else ""),
        "unit": "microseconds of the processor an image at S = 32, median of rounds; whole builds by the clock",
        "load": os.getloadavg()[0],
        "UVTextureConverter": "1.2.0" if folder else "not installed",
    }
    # at 220x110 synthetic people fill 17% of the texels
    for height, width, count in ((128, 64, 200), (220, 110, 100), (384, 192, 60)):
        pairs = people(height, width, count)
        measured = report[f"{height}x{width}"] = {"warp": compare(pairs[:COMPARED], convert)}
        with tempfile.TemporaryDirectory() as folder_name:
            total = built * 128 * 64 // (height * width)
            dataset(Path(folder_name), pairs, total)
            runs = {jobs: [end_to_end(Path(folder_name), total, jobs) for _ in range(3)] for jobs in (1, 2)}
            one, two = (median(runs[jobs]) for jobs in (1, 2))
            gain = two["images a second"] / one["images a second"]
            measured["build"] = {
                "images": total,
                "1 worker": one,
                "2 workers": two,
                "gain of the second": round(gain, 2),
            }
            measured["store"] = reading(Path(folder_name) / "dsap.h5")
    out = Path(__file__).parent / "results" / "warp.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")
    click.echo(out.read_text())


if __name__ == "__main__":
    main()
