"""Every command of docs/reproduce.md is understood, and runs on tiny trees; what the page counts is counted again."""

import itertools
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import densepose_extract.cli
import dsa_data.cli
import dsa_train.cli
import dsap.cli
import trees
from densepose_extract.config import ExtractConfig
from dsa_app.config import override, read_settings
from dsa_data import images, sets
from dsa_train import result_settings
from dsa_train.config import TrainConfig
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.network.summary import rows
from dsa_train.published import ROWS
from dsap.config import WarpConfig
from repository import ROOT

PAGE = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS: dict[str, click.Group] = {
    "dsa-data": dsa_data.cli.main,
    "densepose-extract": densepose_extract.cli.main,
    "dsap": dsap.cli.main,
    "dsa-train": dsa_train.cli.main,
}
SECTIONS = {"extract": ExtractConfig, "warp": WarpConfig, "train": TrainConfig, "evaluate": EvaluateConfig}
SPLITS = ("split00", "split01")  # of ten: enough to see that there are several
THIN = [
    "warp.size=8", "train.height=64", "train.width=32", "train.identities=2", "train.pictures=2", "train.epochs=1",
    "train.threads=1", "train.network.conv5_init=random", "train.network.classifier_width=8",
    "train.network.main.trunk=resnet18", "train.network.main.width=0.125", "evaluate.threads=1",
]  # fmt: skip

Command = list[str]


def spoken(block: str, place: Path) -> list[Command]:
    """Let bash carry out a block's loops and name the commands that it would run in the folder `place`.

    Bash gets nothing but `basename`, so that a command that is none of ours ends it with an error.
    """
    tools = place / "tools"
    if not tools.is_dir():
        tools.mkdir()
        (tools / "basename").symlink_to(str(shutil.which("basename")))
    functions = [f'{name}() {{ printf "%q " {name} "$@"; echo; }}' for name in PROGRAMS]
    script = "\n".join(["set -euo pipefail", *functions, block])
    done = subprocess.run(
        ["/bin/bash", "-c", script], cwd=place, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the project's, with what loops over files find after `dsa-data prepare` and the trainings."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    for dataset in ("cuhk01", "cuhk01-100"):
        for folder in ("protocols", "runs"):
            (tmp_path / "artifacts" / dataset / folder).mkdir(parents=True)
        for split in SPLITS:
            (tmp_path / "artifacts" / dataset / "protocols" / f"{split}.csv").touch()
            for start in ("alone", "cuhk03"):
                (tmp_path / "artifacts" / dataset / "runs" / f"{start}-{split}.json").touch()
    for name in ("DSA_DATASETS", "DSA_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def commands(project: Path) -> list[Command]:
    """All commands of the page, loops carried out."""
    return [command for block in BLOCKS for command in spoken(block, project)]


def option(command: Sequence[str], name: str) -> list[str]:
    return [value for flag, value in itertools.pairwise(command) if flag == name]


def test_every_command_and_option_is_known(commands: list[Command]) -> None:
    for program, name, *arguments in commands:
        known = PROGRAMS[program].commands
        assert name in known, f"{program} {name}"
        known[name].make_context(name, list(arguments))  # raises for an unknown option or value


def test_every_dataset_experiment_and_setting_is_known(commands: list[Command]) -> None:
    for command in commands:
        (dataset,) = option(command, "--dataset")
        assert dataset in sets.SETS, command
        (experiment,) = option(command, "--experiment") or (None,)
        settings = read_settings(None, dataset, experiment, option(command, "--set"))
        for name, cls in SECTIONS.items():
            settings.section(name, cls)


def test_every_row_of_the_tables_is_trained_and_measured(commands: list[Command]) -> None:
    market = [command for command in commands if option(command, "--dataset") == ["market1501"]]
    trained = [
        option(command, "--experiment")[0]
        for command in market
        if command[1] == "run" and command[0] != "densepose-extract"
    ]
    measured = [
        (option(command, "--experiment")[0], *option(command, "--match"))
        for command in market
        if command[1] == "evaluate"
    ]
    assert sorted(trained) == sorted({row.experiment for row in ROWS})
    assert sorted(measured) == sorted({(row.experiment, row.match) for row in ROWS})


def test_the_arithmetic_of_the_page() -> None:
    """GFLOP a picture and TFLOP a step of each row, and their sum."""
    total = 0.0
    for experiment in sorted({row.experiment for row in ROWS}):
        network = read_settings(None, "market1501", experiment).section("train", TrainConfig).network
        forward = sum(row.flops for row in rows(network, identities=751)) / 1e9
        step = 3 * 64 * forward / 1e3
        total += step
        (line,) = (line for line in PAGE.splitlines() if line.startswith("| `table") and f"`{experiment}`" in line)
        assert line.split("|")[2:4] == [f" {forward:.2f} ", f" {step:.2f} "]
    assert f"| all nine | | {total:.2f} |" in PAGE


def make_datasets(project: Path) -> None:
    """Draw a tree of each dataset, and maps of its pictures, by their keys below maps/<dataset>."""
    parent = project / "datasets"
    parent.mkdir()
    makers: list[Callable[[Path], Path]] = [trees.market1501, trees.cuhk03, trees.cuhk01, trees.dukemtmcreid]
    for make in makers:
        make(parent)
    for name in ("market1501", "cuhk03-labeled", "cuhk03-detected", "cuhk01", "cuhk01-100", "dukemtmcreid"):
        found = sets.dataset(name)
        for number, entry in enumerate(found.scan(found.root(parent))):
            path = project / "maps" / name / Path(entry.key).with_suffix("")
            images.write_png(path.with_name(f"{path.name}_IUV.png"), trees.random_iuv(number))
    for boxes in ("labeled", "detected"):
        shutil.rmtree(parent / "cuhk03" / f"images_{boxes}")  # the page is to unpack them


def made_small(command: Command) -> Command:
    """Return a command with a thin network, one process, and ready maps in place of stage one's network."""
    program, name, *arguments = command
    arguments = ["1" if before == "--jobs" else word for before, word in itertools.pairwise(["", *arguments])]
    if (program, name) == ("densepose-extract", "run"):
        (dataset,) = option(command, "--dataset")
        return [program, "import", "--dataset", dataset, "--from", f"maps/{dataset}", "--channels", "rgb"]
    small = []
    if (program, name) in {("dsap", "build"), ("dsa-train", "run"), ("dsa-train", "evaluate")}:
        small = [word for setting in THIN for word in ("--set", setting)]
        if "train.network.weights" not in " ".join(arguments):
            small += ["--set", "train.network.weights=none"]
    if (program, name) == ("dsa-train", "explain"):
        small = ["--count", "1", "--device", "cpu"]
    return [program, name, *arguments, *small]


def make_rows_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rows have the settings of `made_small`, so that the page's trainings are the rows' own."""
    own = result_settings.installed_experiment
    small = [*THIN, "train.network.weights=none"]
    monkeypatch.setattr(result_settings, "installed_experiment", lambda name: override(own(name), small))
    monkeypatch.setattr(result_settings, "of_row", result_settings.of_row.__wrapped__)  # without its cache


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_page_on_tiny_trees(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / "artifacts")
    make_rows_small(monkeypatch)
    make_datasets(project)
    told: dict[tuple[str, ...], str] = {}
    for block in BLOCKS:
        for command in spoken(block, project):
            program, *arguments = made_small(command)
            done = CliRunner().invoke(PROGRAMS[program], arguments, catch_exceptions=False)
            told[tuple(command)] = done.output
            if command[:2] == ["dsa-data", "check"]:
                assert done.exit_code == 2
                assert "as published" in done.output, "the tiny dataset has not the published counts"
            else:
                assert done.exit_code == 0, f"{command}\n{done.output}"
        for protocol in project.glob("artifacts/cuhk01*/protocols/split*.csv"):
            if protocol.stem not in SPLITS:
                protocol.unlink()
    table = told["dsa-train", "experiments", "--dataset", "market1501"]
    rows = [line for line in table.splitlines() if re.match(r"Table \d", line)]
    assert len(rows) == len(ROWS)
    assert not [row for row in rows if "not yet" in row], "every row of the paper was measured"
    for dataset in ("cuhk03-labeled", "cuhk03-detected", "dukemtmcreid"):
        said = next(said for command, said in told.items() if command[1] == "evaluate" and dataset in command)
        assert "The paper's row is not shown: " in said, "the tiny dataset has not the published counts"
    means = [said for command, said in told.items() if command[1] == "report" and "cuhk01" in command]
    assert len(means) == 2
    assert all("The paper's row is not shown: " in said for said in means)
    assert np.isfinite([float(said.splitlines()[1].split()[1]) for said in means]).all()
