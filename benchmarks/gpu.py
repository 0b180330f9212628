"""All that can be measured on a GPU, in one call of under ten minutes: docs/gpu.md says how to run it.

    python benchmarks/gpu.py                                  # a GPU: the paper's size
    python benchmarks/gpu.py --device cpu --size small        # all parts on a CPU, in under five minutes

The data is made once. Each part runs in a process of its own, with a time limit, so that a part that fails or hangs
leaves the others; what it has measured is written at once. Results: gpu_<size>_<device>.json and .txt.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from naive.images import make_random_images
from on_gpu import stages, steps
from on_gpu.context import SIZES, Context
from on_gpu.table import table
from timing.machine import origin

RESULTS = Path(__file__).parent / "results"
LAST_LINES = 20  # of the error of a part, that are kept
PARTS: dict[str, tuple[Callable[[Context], None], int]] = {  # in the order in which they run, with a limit in seconds
    "step": (steps.step, 110),
    "kernels": (steps.kernels, 40),
    "extraction": (stages.extraction, 80),
    "tests": (stages.tests, 150),
    "losses": (steps.losses, 60),
    "embedding": (stages.embedding, 45),
    "parts by layout": (steps.parts_by_layout, 60),
    "small networks": (steps.small_networks, 90),
    "evaluation": (stages.evaluation, 45),
    "switches": (steps.switches, 180),
}


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--size", type=click.Choice(list(SIZES)), help="[paper on a GPU, small on a CPU]")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Parts to run. [all]")
@click.option("--limit", default=570, show_default=True, help="Seconds of all parts together.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder of results.")
@click.option("--commit", help="That is measured, where there is no git. [git's]")
@click.option("--part", type=click.Choice(list(PARTS)), hidden=True, help="Run one part in this process.")
@click.option("--data", type=click.Path(path_type=Path), hidden=True, help="Folder of the data of a part.")
def main(
    device: str,
    size: str | None,
    only: tuple[str, ...],
    limit: int,
    out: Path,
    commit: str | None,
    part: str | None,
    data: Path | None,
) -> None:
    """Measure all parts and write a JSON file and a table."""
    size = size or ("small" if device == "cpu" else "paper")
    if part and data:
        PARTS[part][0](Context(torch.device(device), SIZES[size], data, out))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ctrl-C: `measured` stops the part that runs
    start = time.monotonic()
    if device != "cpu" and not torch.cuda.is_available():
        raise click.ClickException("torch finds no GPU. Measure the CPU with --device cpu --size small.")
    result: dict[str, Any] = {**origin(torch.device(device)), "size": size, "parts": {}}
    result["commit"] = commit or result["commit"]
    name = result["machine"].get("gpu", "cpu")
    target = out / f"gpu_{size}_{re.sub('[^a-z0-9]+', '_', name.lower())}.json"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), size, device)
        result["seconds_to_make_data"] = round(time.monotonic() - start, 1)
        for each, (_, own_limit) in PARTS.items():
            if only and each not in only:
                continue
            seconds = min(own_limit, limit - (time.monotonic() - start))
            result["parts"][each] = measured(each, seconds, Path(folder), ["--device", device, "--size", size])
            result["seconds"] = round(time.monotonic() - start, 1)
            target.write_text(json.dumps(result, indent=1) + "\n")
            target.with_suffix(".txt").write_text(table(result))
            click.echo(f"{each}: {result['parts'][each]['ended']}", err=True)
    click.echo(f"{table(result)}\n{target}")


def make_data(folder: Path, size: str, device: str) -> None:
    """Write the images and DSAP that all parts of a training read."""
    given = SIZES[size]
    context = Context(torch.device(device), given, folder, folder / "none.json")
    make_random_images(folder, given.identities, given.texels, context.config(), given.different)


def measured(part: str, seconds: float, folder: Path, options: list[str]) -> dict[str, Any]:
    """Run one part in a process of its own; return what it measured, how it ended and the seconds that it took."""
    if seconds < 5:
        return {"ended": "not started: no time left", "seconds": 0.0}
    out = folder / f"{part}.json"
    command = [sys.executable, __file__, *options, "--part", part, "--data", str(folder), "--out", str(out)]
    start = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, printed = process.communicate(timeout=seconds)
        error = (printed.strip() or f"exit code {process.returncode}").splitlines()
        ended = "done" if process.returncode == 0 else f"failed: {error[-1]}"
    except subprocess.TimeoutExpired:
        error = stop(process)
        ended = f"stopped at its limit of {seconds:.0f} s"
    except BaseException:  # as Ctrl-C, which does not reach another session: nothing is left on the GPU
        stop(process)
        raise
    found = json.loads(out.read_text()) if out.exists() else {}
    if ended != "done" and error:
        found["last_lines"] = [*found.get("last_lines", []), *error[-LAST_LINES:]]
    return {"ended": ended, "seconds": round(time.monotonic() - start, 1), **found}


def stop(process: subprocess.Popen[str]) -> list[str]:
    """Kill a part and what it has started, as pytest; return the lines of its error output so far."""
    os.killpg(process.pid, signal.SIGKILL)
    try:
        _, printed = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:  # torch's compiling processes may hold the pipe a little longer
        return []
    return printed.strip().splitlines()


if __name__ == "__main__":
    main()
