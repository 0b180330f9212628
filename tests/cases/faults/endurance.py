"""Datasets of a million images through manifest, stores, verification and evaluation: time and memory by their number.

Images and maps are links to a few files, so that a million fit anywhere; every record, map, part image and feature is
its own. Each step runs in a process of its own, whose processor time and memory are measured.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import tiny
from dsa_data import images

from .record import commit

SIZE = 2  # S, of the part images
BASES = 40  # files that all images are links to; a file system allows 65,000 links to one
QUERIES, DIMENSIONS = 10_000, 16
SIZES = (10_000, 100_000, 1_000_000)
EPOCHS = 200  # of the training
WARM = 2000  # records of a run before the measured ones, which loads what a process loads once


def make_dataset(root: Path, count: int) -> Path:
    """Write a dataset of `count` training images with their true maps in Market-1501's layout, as links to a few."""
    base = root.with_name(root.name + ".base")
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(base, ignore_errors=True)
    tiny.write_many_images(base, BASES)
    photographs = sorted((base / "bounding_box_train").iterdir())
    train, maps = root / "bounding_box_train", root / "iuv" / "bounding_box_train"
    for split in ("query", "bounding_box_test"):
        shutil.copytree(base / split, root / split)
        shutil.copytree(base / "iuv" / split, root / "iuv" / split)
    train.mkdir(parents=True)
    maps.mkdir(parents=True)
    sources = [(str(path), str(base / "iuv" / "bounding_box_train" / f"{path.stem}_IUV.png")) for path in photographs]
    for n in range(count):
        stem = f"{2 + n // 4:07}_c{1 + n % 4}s1_{n:07}_01"
        photograph, iuv = sources[n % BASES]
        os.link(photograph, train / f"{stem}.jpg")
        os.link(iuv, maps / f"{stem}_IUV.png")
    return root


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Run work in a fork; return its processor seconds, and its memory in MiB beyond that of the fork's start."""
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(receive)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            before = _resident()
            begun = time.process_time()
            work()
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = time.process_time() - begun + usage.ru_utime + usage.ru_stime
            found = {"seconds": seconds, "MiB": (_peak() - before) / 2**20}
            os.write(send, json.dumps(found).encode())
            code = 0
        except BaseException:
            import traceback

            os.write(send, json.dumps({"error": traceback.format_exc()[-2000:]}).encode())
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    found = json.loads(answer or b'{"error": "the process was killed"}')
    assert "error" not in found, found["error"]
    return found


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def steps(root: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the steps of the pipeline over a dataset, in their order."""
    from densepose_extract import stage as extraction
    from densepose_extract.engines.rendered import Rendered
    from dsa_data.records import index, read_manifest, write_manifest
    from dsa_data.sets import market1501
    from dsa_data.stores.dsap import DsapStore
    from dsa_data.stores.iuv import IuvStore
    from dsap import stage as warping
    from dsap.config import WarpConfig
    from dsap.verify import verify

    manifest, iuv, dsap = folder / "manifest.csv", folder / "iuv.h5", folder / "dsap.h5"

    def extract() -> None:
        extraction.extract(manifest, root, iuv, "synthetic", Rendered(root))

    def warp() -> None:
        warping.build(manifest, iuv, dsap, WarpConfig(size=SIZE), root)

    def check() -> None:
        faults = list(verify(dsap, read_manifest(manifest), IuvStore(iuv)))
        assert not faults, faults[0]

    def no_op() -> None:
        before = iuv.stat().st_mtime_ns
        extract()
        assert iuv.stat().st_mtime_ns == before, "an up-to-date store was written again"

    def change() -> None:
        """Replace one image in a hundred, list them again, and let the stores take the rest over."""
        changed = sorted((root / "bounding_box_train").iterdir())[::100]
        for n, path in enumerate(changed):
            noise = np.random.default_rng(n).integers(0, 256, (32, 16, 3), dtype=np.uint8)
            path.unlink()
            path.write_bytes(images.encode_jpeg(noise))

    def open_stores() -> None:
        DsapStore(dsap).close()
        IuvStore(iuv).close()

    return {
        "list": lambda: write_manifest(index(root, market1501.scan(root)), manifest),
        "read the manifest": lambda: read_manifest(manifest),
        "extract": extract,
        "warp": warp,
        "open the stores": open_stores,
        "verify": check,
        "extract, up to date": no_op,
        "change one in 100": change,
        "list again": lambda: write_manifest(index(root, market1501.scan(root)), manifest),
        "extract, taken over": extract,
        "warp, taken over": warp,
    }


def pipeline(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Return seconds and MiB of each step over `count` images."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = make_dataset(folder / "images", count)
    found = {name: measured(work) for name, work in steps(root, folder).items()}
    shutil.rmtree(folder)
    return found


def evaluation(folder: Path, queries: int, gallery: int) -> dict[str, Any]:
    """Return seconds and MiB of an evaluation with features on the disk, and what it measures."""
    import torch

    from dsa_data.records import Record
    from dsa_data.stores.features import FeatureStore, write_features
    from dsa_data.stores.header import Header
    from dsa_train.evaluation.config import EvaluateConfig
    from dsa_train.evaluation.retrieval import Side, compare

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    origin = {"model": "0" * 64, "preprocessing": {}, "parts": {"global": DIMENSIONS}}

    def write(name: str, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        blocks = (
            rng.standard_normal((min(4096, count - first), DIMENSIONS)).astype(np.float32)
            for first in range(0, count, 4096)
        )
        keys = [f"{name}/{n:07}.jpg" for n in range(count)]
        digests = [f"{n:064x}" for n in range(count)]
        write_features(
            folder / f"{name}.h5",
            Header("none", {"origin": origin}, ""),
            keys,
            digests,
            (count, DIMENSIONS),
            "float32",
            blocks,
        )

    def side(name: str, count: int) -> Side:
        pids = np.arange(count) % (queries if name == "query" else max(queries, count // 10))
        camids = np.full(count, 1 if name == "query" else 2)
        listed = [Record(f"{name}/{n:07}.jpg", name, int(pid), 1, 64, 128, f"{n:064x}") for n, pid in enumerate(pids)]
        return Side(FeatureStore(folder / f"{name}.h5"), listed, camids)

    def compared() -> None:
        torch.set_num_threads(1)
        compare(side("query", queries), side("gallery", gallery), EvaluateConfig(memory=0.25), torch.device("cpu"))

    written = measured(lambda: (write("query", queries, 0), write("gallery", gallery, 1)))
    return {"queries": queries, "gallery": gallery, "write": written, "evaluate": measured(compared)}


def training(folder: Path, epochs: int) -> dict[str, Any]:
    """Return the memory of a training after some epochs and at its end, in MiB, from a process that trains."""
    from .stages import PARAMS

    project = folder / "project"
    from .run import Run
    from .stages import Project
    from .warm import Warm

    shutil.rmtree(folder, ignore_errors=True)
    with Warm() as warm:
        made = Project(folder, warm).make()
        case = made.case(_stage("train"), folder / "case")
        params = {**PARAMS, "train": {**PARAMS["train"], "epochs": epochs, "save_every": 1}}  # type: ignore[dict-item]
        (case / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        script = folder / "memory.json"
        environment = (("FAULTS_MEMORY", str(script)),)
        run = Run(made.command(_stage("train")), case, folder / "train", environment=environment)
        (ended,) = warm(run, timeout=3600)
    assert ended.code == 0, run.errors()
    del project
    samples = [json.loads(line) for line in script.read_text().splitlines()]
    third = len(samples) // 3
    return {
        "epochs": epochs,
        "MiB after a third": round(float(np.median(samples[third : third + 5])), 1),
        "MiB at the end": round(float(np.median(samples[-5:])), 1),
    }


def _stage(name: str) -> Any:
    from .stages import BY_NAME

    return BY_NAME[name]


def record(
    folder: Path, largest: int, lines: Path, tell: Callable[[Any], None] = lambda result: None
) -> dict[str, Any]:
    """Measure evaluations, a training, and the pipeline over datasets up to `largest` images; return all of it.

    Evaluations go up to the largest of `SIZES`, whatever `largest` is.

    Measurements that `lines` has are not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = sorted({*(size for size in SIZES if size < largest), largest})
    planned: dict[str, Callable[[], Any]] = {
        f"training {EPOCHS}": lambda: training(folder / "training", EPOCHS),
        **{f"evaluation {size}": lambda size=size: evaluation(folder / "features", QUERIES, size) for size in SIZES},
        **{f"pipeline {size}": lambda size=size: pipeline(folder / f"of-{size}", size) for size in sizes},
    }
    known = {}
    if lines.exists():
        known = {result["name"]: result for result in map(json.loads, lines.read_text().splitlines())}
    for name, measure in planned.items():
        if name not in known:
            if name.startswith("pipeline"):
                pipeline(folder / "warm", WARM)
            known[name] = {"name": name, "commit": commit(), "found": measure()}
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[name]) + "\n")
            tell(known[name])
    return {
        "commits": sorted({known[name]["commit"] for name in planned}),
        "training": known[f"training {EPOCHS}"]["found"],
        "evaluation": [known[f"evaluation {size}"]["found"] for size in SIZES],
        "pipeline": {str(size): per_record(known[f"pipeline {size}"]["found"], size) for size in sizes},
    }


def per_record(found: dict[str, dict[str, float]], count: int) -> dict[str, dict[str, float]]:
    """Return microseconds and bytes a record."""
    return {
        name: {
            "microseconds": round(1e6 * one["seconds"] / count, 1),
            "bytes": round(2**20 * one["MiB"] / count, 1),
        }
        for name, one in found.items()
    }
