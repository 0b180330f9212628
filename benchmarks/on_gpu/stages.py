"""The tests on a GPU, extraction, embedding and evaluation."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embed
import extract
import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from densepose_extract.engines.native import NativeEngine
from densepose_extract.make_maps import ImageReader, make_maps
from densepose_extract.plan import make_plan
from densepose_extract.recipe import Recipe
from dsa_data.images import encode_jpeg
from dsa_data.records import Entry, Record, index
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.retrieval import Side, compare

from .context import Context

ROOT = Path(__file__).parents[2]
MODEL = "R_50_FPN_s1x"
READERS = (4, 2, 8)  # threads that read for stage one and for `embed`
KERNELS = 15  # that are kept of stage one
TESTS_SECONDS = 120  # less than the limit of the part, so that the tests that have ended are counted
TEST_LINE = re.compile(r"(tests/\S+::.+?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b")
QUERIES, GALLERY, IDENTITIES, CAMERAS, DIMENSIONS = 3368, 15913, 750, 6, 4096  # Market-1501's, and the paper's feature


def tests(context: Context) -> None:
    """Keep how many of the tests marked gpu pass; on a CPU they compare it with itself."""
    environment = dict(os.environ)
    if context.device.type == "cpu":
        environment["DSA_TEST_DEVICE"] = "cpu"
    # -vv: a line a test, as -q is in the settings; what has ended before the limit is kept.
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-vv", "-rf", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TESTS_SECONDS
        )
        printed, exit_code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        printed, exit_code = error.stdout or b"", None
    lines = printed.decode(errors="replace").splitlines()
    results = [found.groups() for found in map(TEST_LINE.match, lines) if found]
    counts = {word.lower(): sum(result == word for _, result in results) for word in ("PASSED", "SKIPPED")}
    not_passed = [f"{result} {test}" for test, result in results if result in ("FAILED", "ERROR")]
    context.keep(exit_code=exit_code, **counts, not_passed=not_passed, last_lines=lines[-60:] if exit_code else [])
    if exit_code is None:
        context.keep(last_lines=lines[-60:], stopped_after_seconds=TESTS_SECONDS)


def extraction(context: Context) -> None:
    """Keep the images a second of the native engine in each precision: of batches in memory, and of files."""
    crops, on_gpu = context.size.crops, context.device.type == "cuda"
    recipe = Recipe(batch=crops) if on_gpu else Recipe(batch=crops, min_size=64, max_size=256)
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (crops, extract.HEIGHT, extract.WIDTH, 3), dtype=np.uint8))
    records = crop_files(context.folder / "crops", images, 16 * crops if on_gpu else 2 * crops)
    with extract.checkpoint(MODEL) as path:
        for name in reversed(NativeEngine.precisions):  # the one that people use first: the part has a limit
            engine = NativeEngine(path, context.device, name, recipe)
            seconds = extract.timed(
                {name: functools.partial(engine.extract, images)}, context.size.rounds, context.device
            )
            found: dict[str, Any] = {"images_a_second": round(crops / seconds[name], 1)}
            context.keep(**{name: found})
            found["share_of_time"] = extract.shares(engine, images)
            context.keep(**{name: found})
            found["batches_in_flight"] = engine.in_flight
            for jobs in READERS if on_gpu else (1,):
                # once before: each thread's stream allocates its memory
                rate_from_files(engine, records[: 2 * crops], context, jobs)
                rate = rate_from_files(engine, records, context, jobs)
                found[f"images_a_second_from_files_by_{jobs}_threads"] = round(rate, 1)
                context.keep(**{name: found})
            if on_gpu:
                found["gpu_busy_percent"] = gpu_busy(lambda engine=engine: engine.extract(images))
                found["gpu_busy_percent_from_files"] = gpu_busy(
                    lambda engine=engine: rate_from_files(engine, records, context, READERS[0])
                )
                found["kernels"] = kernels_of(lambda engine=engine: engine.extract(images))
            context.keep(**{name: found})


def crop_files(folder: Path, images: list[np.ndarray], count: int) -> list[Record]:
    """Write `count` JPEG files of crops in Market-1501's layout; return their records."""
    entries = [Entry(f"bounding_box_train/{n:06}.jpg", "train", 1, 1) for n in range(count)]
    (folder / "bounding_box_train").mkdir(parents=True, exist_ok=True)
    for number, entry in enumerate(entries):
        (folder / entry.key).write_bytes(encode_jpeg(images[number % len(images)]))
    return index(folder, entries)


def rate_from_files(engine: NativeEngine, records: list[Record], context: Context, jobs: int) -> float:
    """Return the images a second of stage one without writing the store: read, decoded, computed and packed.

    Args:
        jobs: threads that read.
    """
    plan = make_plan(records, "benchmark", engine)
    start = context.turns.clock()
    for _ in make_maps(plan.batches, ImageReader(context.folder / "crops"), engine, jobs):
        pass
    return len(records) / (context.turns.clock() - start)


def kernels_of(job: Callable[[], object]) -> list[str]:
    """Return the kernels of a call of the job that take longest: ms, calls and name."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        job()
        torch.cuda.synchronize()
    rows = [event for event in profiler.key_averages() if not event.is_user_annotation]
    rows = sorted(rows, key=lambda event: -event.self_device_time_total)[:KERNELS]
    return [f"{row.self_device_time_total / 1e3:.2f} ms, {row.count} calls, {row.key[:90]}" for row in rows]


def gpu_busy(job: Callable[[], object]) -> float:
    """Return the percentage of time in which the GPU computes or copies, by torch's profiler over a call of the job."""
    job()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        torch.cuda.synchronize()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        job()
        stop.record()
        torch.cuda.synchronize()
    events = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    spans = [(event.time_range.start, event.time_range.end) for event in events if not event.is_user_annotation]
    return round(100 * union(spans) / 1e3 / start.elapsed_time(stop), 1)


def union(spans: list[tuple[float, float]]) -> float:
    """Return the time that is in at least one span: kernels of two streams may run at the same time."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def embedding(context: Context) -> None:
    """Keep the images a second of `Model.embed` from files, and of networks on tensors in memory."""
    files = sorted((context.folder / "bounding_box_train").glob("*.jpg"))[: context.size.embedded]
    batch = 64 if context.device.type == "cuda" else 4
    files = files[: len(files) // batch * batch]
    turns = dataclasses.replace(context.turns, rounds=2, warm=1) if context.device.type == "cuda" else context.turns
    out = context.folder / "embedding"
    out.mkdir(exist_ok=True)
    context.keep(batch=batch, **embed.embedding(out, files, batch, turns, onnx=False))
    if context.device.type == "cuda":
        model = embed.dsa_reid.load(out / "model.pt", context.device)
        for workers in (1, *READERS):
            seconds = turns.seconds({"": lambda workers=workers: model.embed(files, batch, workers)})[""]
            context.keep(**{f"images_a_second_by_{workers}_threads": round(len(files) / seconds, 1)})
        context.keep(gpu_busy_percent=gpu_busy(lambda: model.embed(files[: 16 * batch], batch)))


def evaluation(context: Context) -> None:
    """Keep the seconds of distances, ranking and measures at Market-1501's size, on the device and on the CPU."""
    share = context.size.share
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((IDENTITIES, DIMENSIONS), np.float32)
    sides = []
    for split, whole in (("query", QUERIES), ("gallery", GALLERY)):
        count = int(whole * share)
        pids, camids = generator.integers(0, IDENTITIES, count), generator.integers(1, CAMERAS + 1, count)
        rows = centres[pids] + 6 * generator.standard_normal((count, DIMENSIONS), np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        labelled = enumerate(zip((pids + 1).tolist(), camids.tolist(), strict=True))
        records = [Record(f"{split}/{n:06}.jpg", split, pid, cam, 64, 128, f"{n:064x}") for n, (pid, cam) in labelled]
        sides.append(Side(rows, records, camids))
    context.keep(queries=len(sides[0].records), gallery=len(sides[1].records), dimensions=DIMENSIONS)
    for name, device in (("device", context.device), ("cpu", torch.device("cpu"))):
        evaluate = functools.partial(compare, *sides, EvaluateConfig(), device)
        if device.type == "cuda":
            evaluate()  # to warm up
        start = context.turns.clock()
        result = evaluate().result
        seconds = round(context.turns.clock() - start, 2)
        context.keep(**{name: {"seconds": seconds, "mAP": result.mAP, "rank1": result.rank(1)}})
        if context.device.type == "cpu":
            return
