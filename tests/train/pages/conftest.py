"""A dataset whose paths hold what HTML would take for tags, two runs on it, and their report."""

from pathlib import Path

import numpy as np
import pytest

from dsa_app.config import to_dict
from dsa_data.records import Entry
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation_stage import Task
from dsa_train.pages.stage import write_report
from dsap.config import WarpConfig
from hostile_names import HOSTILE, SIZE, write_dataset
from thin import write_model


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Path:
    """A dataset of four people in two cameras, with manifest, maps and part images."""
    root = tmp_path_factory.mktemp("hostile") / "market1501"
    entries = []
    for pid in range(1, 5):
        entries.append(Entry(f"query/{HOSTILE}{pid}_c1.png", "query", pid, 1))
        entries += [Entry(f"gallery/{HOSTILE}{pid}_c{cam}.png", "gallery", pid, cam) for cam in (1, 2, 3)]
    entries.append(Entry("gallery/0_c2.png", "gallery", 0, 2))
    entries += [Entry(f"train/{pid}_{n}.png", "train", pid, 1) for pid in (7, 8) for n in (0, 1)]
    header = Header("market1501", {"warp": to_dict(WarpConfig(size=SIZE)), "maps": {"engine": "import"}}, "made up")
    records = write_dataset(root, entries, header, seed=0)
    keys = [record.key for record in records]
    maps = [
        IuvMap(
            np.full((48, 24, 3), int(n > 1), np.uint8),
            0.5,
            np.zeros(4, np.float32),
            "found" if n > 1 else "none",
            record.digest,
            "0" * 64,
        )
        for n, record in enumerate(records)
    ]
    shapes = np.tile([48, 24], (len(records), 1)).astype(np.int32)
    write_iuv(root / "iuv.h5", Header("market1501", {"engine": "import"}, "made up"), keys, shapes, maps)
    return root


@pytest.fixture(scope="session")
def two_runs(hostile) -> list[Path]:
    """Two untrained networks with the logs of a training; the second's folder has a hostile name."""
    runs = []
    for seed, name in enumerate(("first", "se<b>cond&\"'$x_1")):
        run = hostile.parent / "runs" / name
        run.mkdir(parents=True)
        write_model(run / "model.pt", seed)
        folder = run / "live" / "plots" / "metrics"
        (folder / "train").mkdir(parents=True)
        logged = {
            "train/loss": "5\n2\t4",
            "train/id_f_local_0": "3\n2\t1",
            "train/id_f_local_1": "1\n2\t1",
            "lr": "0.1\n2\t0.2",
            "rank1": "0.25\n2\t0.5",
            "mAP": "0.125\n2\t0.75",
        }
        for metric, values in logged.items():
            (folder / f"{metric}.tsv").write_text(f"step\t{metric.split('/')[-1]}\n1\t{values}\n")
        runs.append(run)
    return runs


@pytest.fixture(scope="session")
def task(hostile):
    """Return the evaluation of a run on the hostile dataset."""

    def make(run: Path) -> Task:
        return Task(hostile / "manifest.csv", hostile, hostile / "dsap.h5", run, None, None, "market1501")

    return make


@pytest.fixture(scope="session")
def page(hostile, two_runs, task) -> Path:
    """The report of both runs."""
    out = hostile.parent / "report.html"
    written = write_report(
        [task(run) for run in two_runs], EvaluateConfig(), hostile / "iuv.h5", out, count=2, length=5
    )
    assert written.page == out
    return out
