"""The commands that write, each with its inputs: what the disturbances are tried on.

A `Project` is made once: a tiny dataset of every kind, and all that the commands make of it. A case is a copy of what
one command needs, in which the command is disturbed; its folder must end with the same files as without disturbance.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import trees
from dsa_data import images, sets

from .run import Run
from .warm import cold

PARAMS = {
    "dataset": "synthetic",
    "experiment": "demo",
    "set": [],
    "synth": {
        "train_identities": 3,
        "test_identities": 2,
        "train_pictures": 3,
        "queries": 1,
        "gallery": 2,
        "distractors": 1,
        "junk": 1,
        "height": 64,
        "width": 32,
    },
    "extract": {"engine": "rendered"},
    "warp": {"size": 8},
    "train": {
        "height": 64,
        "width": 32,
        "identities": 3,
        "pictures": 2,
        "epochs": 2,
        "threads": 1,
        "network": {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8},
    },
    "evaluate": {"threads": 1},
    "ablation": {"seeds": 1, "main_seeds": 1, "experiments": ["table3/two-branches", "table4/csa"]},
}

DATA = ("datasets/synthetic",)
LISTED = (*DATA, "artifacts/synthetic/manifest.csv")
MAPPED = (*LISTED, "artifacts/synthetic/iuv.h5")
WARPED = (*MAPPED, "artifacts/synthetic/dsap.h5")
TRAINED = (*WARPED, "artifacts/synthetic/runs")
MODEL = (*LISTED, "artifacts/synthetic/runs/demo/model.pt")
EMBEDDED = (*MODEL, "artifacts/synthetic/features.h5")
MARKET, CUHK03 = "datasets/market1501", "datasets/cuhk03"
WHOLE = ("*.csv", "*.h5", "*.json", "*.pt", "*.pt2", "*.onnx", "*.png", "*.jpg", "*.parquet", "*.npy")
LOGS = ("*/live/*", "*.log")  # have times in them

Change = Callable[[Path], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command that writes.

    Attributes:
        command: the program and its arguments, run in the case's folder.
        needs: files and folders that a case begins with.
        before: changes the copies, as to begin with what an earlier run of other settings made.
        params: changes of the project's params.yaml, by section.
        content: patterns of files that are compared by their content, where their bytes may differ.
        parts: patterns of outputs that consist of several files, and may be incomplete until the command ends.
        workers: the command starts joblib workers.
        ranks: the command is started twice by torchrun, and the two share the work.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    before: Change | None = None
    params: tuple[tuple[str, Any], ...] = ()
    content: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    workers: bool = False
    ranks: bool = False


def _stage(name: str, command: str, needs: Iterable[str] = (), **more: Any) -> Stage:
    return Stage(name, tuple(command.split()), tuple(needs), **more)


def _other_settings(section: str, **values: Any) -> tuple[tuple[str, Any], ...]:
    return ((section, {**PARAMS[section], **values}),)  # type: ignore[dict-item]


def _changed_images(folder: Path) -> None:
    """Replace two images and list the dataset again, so that the stores are of images as they were."""
    from dsa_data.records import index, write_manifest

    root = folder / DATA[0]
    for seed, path in enumerate(sorted((root / "bounding_box_train").glob("*.jpg"))[:2]):
        height, width = images.read(path).shape[:2]
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.write_bytes(images.encode_jpeg(noise))
    write_manifest(index(root, sets.market1501.scan(root)), folder / LISTED[-1])


def _drawn_otherwise(folder: Path) -> None:
    """Give the dataset the note of other settings, as if it had been rendered with another seed."""
    note = folder / DATA[0] / "synth.json"
    note.write_text(note.read_text().replace('"seed": 1', '"seed": 2'))


def _earlier_export(folder: Path) -> None:
    out = folder / "parts"
    out.mkdir()
    np.save(out / "texels.npy", np.zeros((1, 24, 8, 8, 3), np.uint8))
    np.save(out / "valid.npy", np.zeros((1, 24, 8, 8), bool))
    (out / "records.csv").write_text("key,split,pid,camid,width,height,digest\n")


def _other_features(folder: Path) -> None:
    np.save(folder / "features.npy", np.zeros((2, 4), np.float32))
    (folder / "features.csv").write_text("key,digest\na,0\nb,0\n")
    (folder / "features.json").write_text('{"format": "dsa-reid features"}\n')


STAGES = [
    _stage("render", "dsa-data prepare --params params.yaml"),
    _stage("render again", "dsa-data prepare --params params.yaml --overwrite", DATA, before=_drawn_otherwise),
    _stage("render by two", "dsa-data prepare --params params.yaml --jobs 2", workers=True),
    _stage("list Market-1501", "dsa-data prepare --dataset market1501", (MARKET,)),
    _stage("unpack CUHK03", "dsa-data prepare --dataset cuhk03-labeled", (CUHK03,)),
    _stage("extract", "densepose-extract run --params params.yaml", LISTED),
    _stage("extract changed", "densepose-extract run --params params.yaml", MAPPED, before=_changed_images),
    _stage("extract by two", "densepose-extract run --params params.yaml --jobs 2", LISTED, workers=True),
    _stage("import maps", "densepose-extract import --params params.yaml --from maps", (*LISTED, "maps")),
    _stage("warp", "dsap build --params params.yaml", MAPPED),
    _stage(
        "warp again", "dsap build --params params.yaml --overwrite", WARPED, params=_other_settings("warp", size=12)
    ),
    _stage("warp by two", "dsap build --params params.yaml --jobs 2", MAPPED, workers=True),
    _stage("export arrays", "dsap export --dataset synthetic --out parts", WARPED, parts=("parts/*",)),
    _stage(
        "export arrays again",
        "dsap export --dataset synthetic --out parts",
        WARPED,
        before=_earlier_export,
        parts=("parts/*",),
    ),
    _stage("export Parquet", "dsap export --dataset synthetic --out parts.parquet", WARPED),
    _stage("show", "dsap show --dataset synthetic --out show.png", WARPED),
    _stage("sheet", "dsa-data sheet --dataset synthetic --identities 2 --out sheet.png", DATA),
    _stage("train", "dsa-train run --params params.yaml", WARPED, content=("*/checkpoint.pt",)),
    _stage(
        "train longer",
        "dsa-train run --params params.yaml",
        TRAINED,
        params=_other_settings("train", epochs=3),
        content=("*/checkpoint.pt",),
    ),
    _stage("evaluate", "dsa-train evaluate --params params.yaml", TRAINED),
    _stage("embed", "dsa-train embed --dataset synthetic --experiment demo", MODEL),
    _stage(
        "embed as arrays",
        "dsa-train embed --dataset synthetic --experiment demo --out features.npy",
        MODEL,
        parts=("features.*",),
    ),
    _stage(
        "embed as arrays again",
        "dsa-train embed --dataset synthetic --experiment demo --out features.npy --overwrite",
        MODEL,
        before=_other_features,
        parts=("features.*",),
    ),
    _stage(
        "index",
        "dsa-train search --query QUERY --gallery artifacts/synthetic/features.h5 --experiment demo --engine flat "
        "--model artifacts/synthetic/runs/demo/model.pt --out ranking.png",
        EMBEDDED,
        parts=("*.faiss", "*.faiss.json"),
    ),
    _stage("export program", "dsa-train export model.pt2 --dataset synthetic --experiment demo", MODEL),
    _stage("export ONNX", "dsa-train export model.onnx --dataset synthetic --experiment demo", MODEL),
    _stage("rank", "dsa-train rank --params params.yaml --count 1 --out ranking.png", TRAINED),
    _stage("explain", "dsa-train explain --params params.yaml --count 1 --out explain.png", TRAINED),
    _stage("ceiling", "dsa-train ceiling --dataset synthetic", LISTED),
    _stage(
        "ablation",
        "dsa-train ablation --params params.yaml",
        WARPED,
        content=("*/checkpoint.pt",),
    ),
]
SLOW = {"export program", "export ONNX", "ablation"}  # take ten seconds and more: fewer cases
TORCHRUN = ("torchrun", "--no-python", "--standalone", "--nproc-per-node", "2")
SHARED = [
    _stage("extract by two ranks", "densepose-extract run --params params.yaml", LISTED, ranks=True),
    _stage(
        "train by two ranks",
        "dsa-train run --params params.yaml",
        WARPED,
        params=_other_settings("train", identities=2),
        content=("*/checkpoint.pt",),
        ranks=True,
    ),
]
BY_NAME = {stage.name: stage for stage in (*STAGES, *SHARED)}


class Project:
    """A folder with tiny datasets and all that the commands make of them, and what each stage should end with.

    Args:
        folder: where it is made.
        run: carries runs out, see `warm`.
    """

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder, self.run = folder, run
        self.template = folder / "project"
        self._expected: dict[str, tuple[dict[str, str], float]] = {}
        self._changes: dict[str, int] = {}

    def make(self) -> Project:
        """Make the template: what each stage needs, by the commands themselves."""
        self.template.mkdir(parents=True)
        parent = self.template / "datasets"
        parent.mkdir()
        trees.market1501(parent)
        trees.cuhk03(parent)
        (self.template / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
        for name in ("render", "extract", "warp", "train", "embed"):
            command = self.command(BY_NAME[name])
            self._must(Run(command, self.template, self.folder / "logs" / f"template {name}"))
        iuv = self.template / DATA[0] / "iuv"
        for path in sorted(iuv.rglob("*_IUV.png")):
            place = self.template / "maps" / path.relative_to(iuv)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        return self

    def command(self, stage: Stage) -> tuple[str, ...]:
        """Return a stage's command with QUERY replaced by an image of the dataset."""
        if stage.ranks:
            return (*TORCHRUN, str(Path(sys.executable).with_name(stage.command[0])), *stage.command[1:])
        if "QUERY" not in stage.command:
            return stage.command
        query = sorted((self.template / DATA[0] / "query").iterdir())[0].relative_to(self.template)
        return tuple(str(query) if word == "QUERY" else word for word in stage.command)

    def case(self, stage: Stage, folder: Path) -> Path:
        """Copy what a stage needs to a new folder; return it."""
        folder.mkdir(parents=True)
        for name in stage.needs:
            source, place = self.template / name, folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place)
            else:
                shutil.copy(source, place)
        params = PARAMS | dict(stage.params)
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        if stage.before:
            stage.before(folder)
        return folder

    def expected(self, stage: Stage) -> tuple[dict[str, str], float]:
        """Return the files that a stage ends with, by their digests, and how many seconds it takes undisturbed."""
        if stage.name not in self._expected:
            folder = self.folder / "undisturbed" / stage.name.replace(" ", "-")
            self.case(stage, folder)
            run = Run(self.command(stage), folder, self.folder / "logs" / stage.name)
            ended = self._must(run, cold if stage.ranks else self.run)
            self._expected[stage.name] = digests(folder), ended.seconds
        return self._expected[stage.name]

    def changes(self, stage: Stage) -> int:
        """Return how many changes a stage makes to its folder, one process at work."""
        if stage.name not in self._changes:
            name = stage.name.replace(" ", "-")
            folder = self.case(stage, self.folder / "counted" / name)
            run = Run(self.command(stage), folder, self.folder / "logs" / f"counted {name}", point=1 << 30)
            self._must(run)
            self._changes[stage.name] = run.changes()
        return self._changes[stage.name]

    def undisturbed(self, stage: Stage) -> Path:
        """Return the folder in which a stage ran undisturbed."""
        self.expected(stage)
        return self.folder / "undisturbed" / stage.name.replace(" ", "-")

    def _must(self, run: Run, carry_out: Callable[..., Any] | None = None) -> Any:
        (ended,) = (carry_out or self.run)(run)
        assert ended.code == 0, f"{' '.join(run.command)} ended with {ended.code}: {run.errors()}"
        return ended


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files below a folder by their paths; logs, which hold times, count by their names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_dir():
            found[name] = "" if matches(name, LOGS) else hashlib.sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            found[name + "/"] = ""
    return found


def differences(stage: Stage, project: Project, folder: Path) -> list[str]:
    """Return what a case's files differ in from those without disturbance: "extra x", "missing y", "other bytes: z"."""
    expected, _ = project.expected(stage)
    found = digests(folder)
    faults = [f"extra {name}" for name in sorted(found.keys() - expected.keys())]
    faults += [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name] and not (
            matches(name, stage.content) and same_content(folder / name, project.undisturbed(stage) / name)
        ):
            faults.append(f"other bytes: {name}")
    return faults


def half_written(stage: Stage, project: Project, folder: Path, begun: dict[str, str]) -> list[str]:
    """Return the outputs that a killed command left neither as they were nor as they should be."""
    expected, _ = project.expected(stage)
    faults = []
    for name, digest in digests(folder).items():
        outside = name not in expected or not matches(name, WHOLE) or matches(name, (*stage.content, *stage.parts))
        if not outside and digest not in (expected[name], begun.get(name)):
            faults.append(f"half written: {name}")
    return faults


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a path matches one of some patterns."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def same_content(one: Path, other: Path) -> bool:
    """Tell whether two files of torch.save hold the same values, to the bit."""
    import torch

    return _same(*(torch.load(path, map_location="cpu", weights_only=True) for path in (one, other)))


def _same(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (one != one and other != other)
