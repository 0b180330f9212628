"""Time and memory of the metrics and of re-ranking against other implementations; evaluation at scale.

    OMP_NUM_THREADS=1 python benchmarks/evaluate.py [--torchreid DIR] [--only PART] [--share S] [--queries Q]

At Market-1501's size, each method in a process of its own, one after another in the same run. DIR is a clone of
https://github.com/KaiyangZhou/deep-person-reid, whose evaluator and re-ranking are loaded file by file; its Cython
evaluator too, if it is built: cythonize -i DIR/torchreid/metrics/rank_cylib/rank_cy.pyx
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from dsa_data.records import Record
from dsa_data.stores.features import FeatureStore, write_features
from dsa_data.stores.header import Header
from dsa_train.evaluation.config import EvaluateConfig, RerankConfig
from dsa_train.evaluation.distmat import blocks
from dsa_train.evaluation.metrics import evaluate
from dsa_train.evaluation.rerank import reranked
from dsa_train.evaluation.retrieval import Side, compare

Q, G, IDENTITIES, CAMERAS, DISTRACTORS = 3368, 15913, 750, 6, 500_000  # Market-1501's, and its distractors
D = 4096
OUT = Path(__file__).parent / "results" / "evaluate.json"
CPU = torch.device("cpu")


class Peak:
    """Measures the memory of this process without mapped files; a context manager."""

    def __enter__(self) -> Peak:
        self.before = self.most = held()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.most = max(self.most, held())

    @property
    def megabytes(self) -> int:
        """The peak above the memory before the context."""
        return round((self.most - self.before) / 1e6)

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.most = max(self.most, held())


def held() -> int:
    """Return the bytes of this process that are not mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")


def labels(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample identities and cameras; a sixth of a gallery are distractors."""
    generator = np.random.default_rng(seed)
    pids = generator.integers(1, IDENTITIES + 1, count)
    if seed:
        pids[generator.random(count) < 1 / 6] = 0
    return pids, generator.integers(1, CAMERAS + 1, count)


def features(share: float, width: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Sample features in clusters, of a share of Market-1501's size."""
    generator = np.random.default_rng(0)
    counts, kinds = [int(n * share) for n in (Q, G)], max(1, int(IDENTITIES * share))
    centres = generator.normal(size=(kinds, width))
    rows = [centres[generator.integers(0, kinds, n)] + generator.normal(size=(n, width)) for n in counts]
    unit = [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def argsorted(
    distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray, _: int
) -> tuple[np.ndarray, float]:
    """Evaluate in the straightforward way: argsort the matrix, then each row with array operations."""
    order = np.argsort(distmat, axis=1)
    curves, aps = [], []
    for query, row in enumerate(order):
        kept = row[(g_pids[row] != q_pids[query]) | (g_camids[row] != q_camids[query])]
        right = g_pids[kept] == q_pids[query]
        if right.any():
            hits = right.cumsum()
            curves.append(hits[:50] > 0)
            aps.append((hits[right] / (np.flatnonzero(right) + 1)).mean())
    return np.mean(curves, axis=0), float(np.mean(aps))


def loaded(path: Path) -> Any:
    """Import one file as a module."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


def compiled(folder: Path) -> list[Path]:
    """Return torchreid's Cython evaluator, if it was built."""
    return sorted((folder / "torchreid/metrics/rank_cylib").glob("rank_cy*.so"))


def evaluator(name: str, folder: Path | None) -> Callable[..., Any]:
    """Return a function that evaluates a distance matrix, by name."""
    if name == "ours":
        return evaluate
    if name == "argsort":
        return argsorted
    assert folder is not None, "torchreid's functions need its folder"
    if name == "torchreid, Cython":
        return lambda *arguments: loaded(compiled(folder)[0]).evaluate_cy(*arguments, 50, False)
    return lambda *arguments: loaded(folder / "torchreid/metrics/rank.py").eval_market1501(*arguments, 50)


def time_metrics(name: str, folder: Path | None) -> dict[str, Any]:
    """Time one evaluator at Market-1501's size."""
    (q_pids, q_camids), (g_pids, g_camids) = labels(Q, 0), labels(G, 1)
    distmat = np.random.default_rng(2).random((Q, G), dtype=np.float32)
    way = evaluator(name, folder)
    arguments = (distmat, q_pids, g_pids, q_camids, g_camids)
    extra = (50,) if name in ("ours", "argsort") else ()
    seconds = []
    with Peak() as peak:
        for _ in range(1 if name == "torchreid, Python" else 3):
            start = time.process_time()
            result = way(*arguments, *extra)
            seconds.append(time.process_time() - start)
    mean_ap = result.mAP if name == "ours" else float(result[1])
    return {"seconds": round(statistics.median(seconds), 3), "megabytes beyond": peak.megabytes, "mAP": mean_ap}


def time_rerank(name: str, folder: Path | None, share: float) -> dict[str, Any]:
    """Time one implementation of re-ranking, from features to distances."""
    query, gallery = features(share)
    start = time.process_time()
    with Peak() as peak:
        if name == "ours":
            parts = list(reranked(query, gallery, RerankConfig(on=True), "euclidean", CPU, memory=0.25))
            result = np.concatenate([distmat for _, distmat in parts])
        else:
            assert folder is not None, "torchreid's function needs its folder"
            sides = ((query, gallery), (query, query), (gallery, gallery))
            q_g, q_q, g_g = (next(blocks(a, b, "euclidean", CPU, memory=8))[1] for a, b in sides)
            result = loaded(folder / "torchreid/utils/rerank.py").re_ranking(q_g, q_q, g_g)
    return {
        "images": len(query) + len(gallery),
        "seconds": round(time.process_time() - start, 1),
        "megabytes beyond": peak.megabytes,
        "sum": float(result.sum(dtype=np.float64)),
        "greatest": float(result.max()),
    }


def time_scale(queries: int, gallery: int) -> dict[str, Any]:
    """Evaluate queries against Market-1501's gallery and its distractors, with features on disk."""
    (q_pids, q_camids), (g_pids, g_camids) = labels(queries, 0), labels(gallery, 1)
    g_pids[G:] = 0
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)

        def rows() -> Iterator[np.ndarray]:
            for start in range(0, gallery, 4096):
                yield generator.standard_normal((min(4096, gallery - start), D), np.float32) / D**0.5

        header = Header("bench", {"origin": {"model": "", "preprocessing": {}, "parts": {"all": D}}}, "")
        names = [str(n) for n in range(gallery)]
        path = write_features(
            Path(folder) / "gallery.h5", header, names, ["00" * 32] * gallery, (gallery, D), "float32", rows()
        )
        query = generator.standard_normal((queries, D), np.float32) / np.float32(D**0.5)
        config = EvaluateConfig(memory=1)
        wall, start = time.perf_counter(), time.process_time()
        with Peak() as peak:
            queries_ = Side(query, records("query", q_pids, q_camids), q_camids)
            gallery_ = Side(FeatureStore(path), records("gallery", g_pids, g_camids), g_camids)
            result = compare(queries_, gallery_, config, CPU).result
        return {
            "queries": queries,
            "gallery": gallery,
            "dimensions": D,
            "features on disk, GB": round(path.stat().st_size / 1e9, 2),
            "processor seconds": round(time.process_time() - start, 1),
            "seconds": round(time.perf_counter() - wall, 1),
            "GFLOP a second": round(2e-9 * queries * gallery * D / (time.process_time() - start), 1),
            "evaluate.memory, GiB": config.memory,
            "megabytes beyond": peak.megabytes,
            "mAP": result.mAP,
        }


def records(split: str, pids: np.ndarray, camids: np.ndarray) -> list[Record]:
    """Return records of images that do not exist."""
    labelled = enumerate(zip(pids.tolist(), camids.tolist(), strict=True))
    return [Record(f"{split}/{n:06}.jpg", split, pid, camid, 64, 128, f"{n:064x}") for n, (pid, camid) in labelled]


def apart(part: str, name: str, arguments: list[str]) -> dict[str, Any]:
    """Run one method in a process of its own."""
    command = [sys.executable, __file__, "--way", f"{part}:{name}", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


@click.command()
@click.option("--torchreid", "folder", type=click.Path(path_type=Path, exists=True), help="A clone of torchreid.")
@click.option("--only", type=click.Choice(["metrics", "rerank", "scale"]), help="One part; the others are kept.")
@click.option("--share", default=1.0, show_default=True, help="Of Market-1501's size, for re-ranking.")
@click.option("--queries", default=Q, show_default=True, help="Of the evaluation at scale.")
@click.option("--gallery", default=G + DISTRACTORS, show_default=True, help="Of the evaluation at scale.")
@click.option("--way", hidden=True)
def main(folder: Path | None, only: str | None, share: float, queries: int, gallery: int, way: str | None) -> None:
    """Measure and write benchmarks/results/evaluate.json."""
    if way:
        part, _, name = way.partition(":")
        if part == "metrics":
            measured = time_metrics(name, folder)
        elif part == "rerank":
            measured = time_rerank(name, folder, share)
        else:
            measured = time_scale(queries, gallery)
        click.echo(json.dumps(measured))
        return
    report = json.loads(OUT.read_text()) if OUT.exists() else {}
    report["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}, torch {torch.__version__}"
    )
    report["unit"] = "seconds of one processor, megabytes beyond what goes in; each way in its own process"
    given = [] if folder is None else ["--torchreid", str(folder)]
    cython = ["torchreid, Cython"] if folder and compiled(folder) else []
    theirs = [*cython, "torchreid, Python"] if folder else []
    if only in (None, "metrics"):
        ways = {name: apart("metrics", name, given) for name in ["ours", "argsort", *theirs]}
        faster = {name: round(one["seconds"] / ways["ours"]["seconds"], 1) for name, one in ways.items()}
        report["metrics"] = {
            "load": os.getloadavg()[0],
            "queries": Q,
            "gallery": G,
            "ways": ways,
            "ours is faster by": faster,
        }
    if only in (None, "rerank"):
        extra = [*given, "--share", str(share)]
        ways = {name: apart("rerank", name, extra) for name in ["ours", *(["common NumPy"] if folder else [])]}
        report["rerank"] = {"load": os.getloadavg()[0], "dimensions": 512, "ways": ways}
    if only in (None, "scale"):
        sizes = ["--queries", str(queries), "--gallery", str(gallery)]
        report["scale"] = {"load": os.getloadavg()[0], **apart("scale", "ours", sizes)}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    click.echo(OUT.read_text())


if __name__ == "__main__":
    main()
