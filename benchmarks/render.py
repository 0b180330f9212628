"""Synthetic images that one core renders a second, and the time of each step.

Compared in the same run with casting every solid over the whole image, as a simple ray caster does.

    python benchmarks/render.py
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"

import click
import cv2
import numpy as np

from dsa_data.images import encode_jpeg, encode_png
from dsa_data.synthetic import raycast
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import person_of, plan, scene_of

ROUNDS = 7


def rates(jobs: dict[str, Callable[[], object]], images: int) -> dict[str, dict[str, float]]:
    """Return images a second of each job, the median over rounds in which all jobs take turns.

    Both in processor time, which other programs on the machine disturb less, and in wall-clock time.
    """
    clocks = {"processor": time.process_time, "clock": time.perf_counter}
    seconds: dict[str, dict[str, list[float]]] = {name: {clock: [] for clock in clocks} for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            start = {clock: now() for clock, now in clocks.items()}
            job()
            for clock, now in clocks.items():
                seconds[name][clock].append(now() - start[clock])
    return {
        name: {clock: round(images / statistics.median(times), 1) for clock, times in both.items()}
        for name, both in seconds.items()
    }


def everywhere(solids: object, frames: object, window: raycast.Window) -> np.ndarray:
    """Return the whole image as the rectangle of every solid."""
    count = len(solids.part)  # type: ignore[attr-defined]
    return np.tile([0, 0, window.height, window.width], (count, 1))


def measure(settings: SynthConfig, identities: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return images a second of the whole and of each step alone."""
    cv2.setNumThreads(1)
    groups = plan(settings)[:identities]
    shots = [shot for group in groups for shot in group]
    people = {shot.number: person_of(settings, shot.group, shot.number) for shot in shots}
    scenes = [scene_of(settings, shot, people[shot.number]) for shot in shots]
    rendered = [render(scene) for scene in scenes]

    def write(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        for number, (image, iuv) in enumerate(pairs):
            (folder / f"{number}.jpg").write_bytes(encode_jpeg(image, settings.quality))
            (folder / f"{number}.png").write_bytes(encode_png(iuv, level=1))

    def whole() -> None:
        for group in groups:
            person = person_of(settings, group[0].group, group[0].number)
            write([render(scene_of(settings, shot, person)) for shot in group])

    def cast_everywhere() -> None:
        with mock.patch.object(raycast, "_rectangles", everywhere):
            for scene in scenes:
                raycast.cast(scene.body.solids, scene.frames, scene.window)

    jobs: dict[str, Callable[[], object]] = {
        "whole, with files": whole,
        "compose": lambda: [scene_of(settings, shot, people[shot.number]) for shot in shots],
        "render": lambda: [render(scene) for scene in scenes],
        "encode and write": lambda: write(rendered),
        "cast": lambda: [raycast.cast(scene.body.solids, scene.frames, scene.window) for scene in scenes],
        "cast every solid over the whole image": cast_everywhere,
    }
    return rates(jobs, len(shots))


@click.command()
@click.option("--identities", default=20, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results/render.json"))
def main(identities: int, out: Path) -> None:
    """Measure at 128x64 and 256x128, print and record."""
    result: dict[str, object] = {
        "command": "python benchmarks/render.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, OpenCV {cv2.__version__}",
        "unit": "images a second on one core, by processor time and by the clock, median of rounds",
        "load": os.getloadavg()[0],
        "rounds": ROUNDS,
    }
    for height, width in ((128, 64), (256, 128)):
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(SynthConfig(height=height, width=width), identities, Path(folder))
        result[f"{height}x{width}"] = measured
        for name, rate in measured.items():
            click.echo(f"{height}x{width}  {name:42}{rate['processor']:8.1f} ({rate['clock']:.1f} by the clock)")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    click.echo(out)


if __name__ == "__main__":
    main()
