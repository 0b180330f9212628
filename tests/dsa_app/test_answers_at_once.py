"""Every `--help`, refusal and small report takes less than a second of CPU, and imports nothing slow."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from densepose_extract.cli import main as extract
from dsa_data.cli import main as data
from dsa_train.cli import main as train
from dsap.cli import main as dsap

GROUPS = {"dsa-data": data, "densepose-extract": extract, "dsap": dsap, "dsa-train": train}
STARTS = {"dsa-data": "data", "densepose-extract": "extract", "dsap": "dsap", "dsa-train": "train"}  # in dsa_app.entry
SLOW = {"torch", "torchvision", "scipy", "dvclive"}  # a second and more to import
HEAVY = SLOW | {"cv2", "h5py", "matplotlib", "faiss"}  # which no --help needs
SECONDS = 1.0
PROGRAM = """
import json, sys
from dsa_app import entry
sys.argv = json.loads(sys.argv[1])
try:
    getattr(entry, {start!r})()
except SystemExit as end:
    code = end.code
print(json.dumps([code or 0, sorted({{name.split(".")[0] for name in sys.modules}})]), file=sys.stderr)
"""


def run(*command: str, folder: Path | None = None) -> tuple[float, int, set[str], str]:
    """Run a command in a process of its own; return its CPU seconds, exit code, packages imported and output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(start=STARTS[command[0]]), json.dumps(command)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("DSA_")},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    *errors, last = done.stderr.splitlines()
    code, packages = json.loads(last)
    return seconds, code, set(packages), done.stdout + "\n".join(errors)


def helps() -> list[tuple[str, ...]]:
    return [(name, *more) for name, group in GROUPS.items() for more in ((), *((one,) for one in group.commands))]


def check(*command: str, code: int, words: str, without: set[str], folder: Path | None = None) -> None:
    """Run a command until it takes less than a second, three times at most: the machine may be busy."""
    times = []
    for _ in range(3):
        seconds, found, packages, output = run(*command, folder=folder)
        assert found == code, output
        assert words in output
        assert not packages & without
        times.append(seconds)
        if seconds < SECONDS:
            return
    pytest.fail(f"{' '.join(command)} takes {min(times):.2f} s of CPU")


@pytest.mark.parametrize("command", helps(), ids=" ".join)
def test_help(command: tuple[str, ...]) -> None:
    check(*command, "--help", code=0, words="Usage:", without=HEAVY)


@pytest.mark.parametrize("name", GROUPS)
def test_each_line_of_a_groups_help_is_a_whole_sentence(name: str) -> None:
    group = GROUPS[name]
    context = click.Context(group, info_name=name, terminal_width=80)
    listed = group.get_help(context).split("Commands:\n")[1].splitlines()
    assert len(listed) == len(group.commands), "one line a command"
    for line in listed:
        assert line.endswith("."), line
        assert not line.endswith("..."), line


METRICS = dict.fromkeys(("rank1", "rank5", "rank10", "mAP", "mINP", "chance_mAP"), 0.5)
METRICS |= {"queries": 4, "queries_left_out": 0, "gallery": 9}


@pytest.mark.parametrize("command", [("report", "--dataset", "market1501"), ("experiments",)], ids=" ".join)
def test_small_reports(command: tuple[str, ...], tmp_path: Path) -> None:
    results = tmp_path / "artifacts" / "market1501"
    (results / "results" / "table3" / "dsa-reid").mkdir(parents=True)
    for path in (results / "metrics.json", results / "results" / "table3" / "dsa-reid" / "main.json"):
        path.write_text(json.dumps(METRICS))
    check("dsa-train", *command, code=0, words="50.0", without=SLOW, folder=tmp_path)


REFUSALS = {
    "dsa-train run": "No dataset is given",
    "dsa-train run --dataset market1501 --set train.epoch=2": "Did you mean 'epochs'?",
    "dsa-train run --dataset market1501 --set train.network.fusion=mean": "fusion",
    "dsa-train run --dataset market1501 --params nowhere.yaml": "nowhere.yaml does not exist",
    "dsa-train run --dataset market1501 --experiment table3/dsa-read": "Did you mean 'table3/dsa-reid'?",
    "dsa-train run --dataset market1501": "manifest.csv does not exist",
    "dsa-train show-batch --dataset market1501": "manifest.csv does not exist",
    "dsa-train summary --set train.network.trunk=vgg": "unknown setting 'trunk'",
    "dsa-train evaluate --dataset market1501": "manifest.csv does not exist",
    "dsa-train evaluate --dataset market1501 --match mian": "Invalid value for '--match'",
    "dsa-train evaluate --dataset market1501 --set evaluate.rerank.k=3": "unknown setting 'k'",
    "dsa-train rank --dataset market1501": "manifest.csv does not exist",
    "dsa-train report --dataset market1501": "metrics.json does not exist",
    "dsa-train explain --dataset market1501": "manifest.csv does not exist",
    "dsa-train explain --dataset market1501 --json": "--json is for --regions",
    "dsa-train ablation --dataset market1501 --set ablation.seeds=0": "seeds",
    "dsa-train ablation --dataset market1501": "manifest.csv does not exist",
    "dsa-train calibrate r --dataset market1501": "manifest.csv does not exist",
    "dsa-train embed": "Name the images to embed",
    "dsa-train embed x --out f.txt --model m.pt": "--out f.txt",
    "dsa-train export m.onnx": "No model was named",
    "dsa-train export m.onnx --model nowhere.pt": "nowhere.pt does not exist",
    "dsa-train check-export m.onnx --dataset market1501": "model.pt does not exist",
    "dsap build": "No dataset is given",
    "dsap build --dataset market1501 --set warp.size=0": "size",
    "densepose-extract run": "No dataset is given",
    "densepose-extract run --dataset market1501 --engine magic": "Invalid value for '--engine'",
    "dsa-data synth --dataset synthetic --set synth.heigth=9": "Did you mean 'height'?",
    "dsa-data stats": "No dataset is given",
}


@pytest.mark.parametrize("line", REFUSALS)
def test_refusals(line: str, tmp_path: Path) -> None:
    check(*line.split(), code=2, words=REFUSALS[line], without=SLOW, folder=tmp_path)


WITH_MANIFEST = {
    "dsa-train run --dataset market1501 --set train.identities=3": "Set fewer: --set train.identities=2",
    "dsa-train run --dataset market1501 --set train.identities=2": "dsap.h5 does not exist. Build it first: dsap build",
    "dsap build --dataset market1501": "iuv.h5 does not exist. Make the maps first: densepose-extract run",
    "dsa-train evaluate --dataset market1501": "runs/paper does not exist. Train first",
}


@pytest.mark.parametrize("line", WITH_MANIFEST)
def test_refusals_of_data_come_before_torch(line: str, tmp_path: Path) -> None:
    manifest = tmp_path / "artifacts" / "market1501" / "manifest.csv"
    manifest.parent.mkdir(parents=True)
    rows = [f"bounding_box_train/{n}.jpg,train,{n},1,64,128,{n:064x}" for n in (1, 2)]
    manifest.write_text("\n".join(["key,split,pid,camid,width,height,digest", *rows]) + "\n")
    check(*line.split(), code=2, words=WITH_MANIFEST[line], without=SLOW, folder=tmp_path)
