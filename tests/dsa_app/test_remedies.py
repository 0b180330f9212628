"""Remedies have the options that the user gave, and can be pasted."""

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import densepose_extract.cli
import dsa_data.cli
import dsap.cli
from dsa_app import remedies
from dsa_train.cli import main as dsa_train
from pasted import check, options_of

GIVEN = [("--dataset", "market1501"), ("--params", "my params.yaml"), ("--set", "warp.size=16")]

GROUPS = {
    "dsa-data": dsa_data.cli.main,
    "densepose-extract": densepose_extract.cli.main,
    "dsap": dsap.cli.main,
    "dsa-train": dsa_train,
}


@pytest.fixture
def given():
    """The options of a command that was called with GIVEN."""
    remedies.remember(GIVEN)
    yield
    remedies.remember()


@pytest.mark.parametrize(
    ("message", "completed"),
    [
        (
            "Build it again: dsap build --overwrite.",
            "Build it again: dsap build --dataset market1501 --params 'my params.yaml' --set warp.size=16 --overwrite",
        ),
        ("Check: dsa-data check.", "Check: dsa-data check --dataset market1501"),
        (
            "Run dsa-train run --dataset duke; then look.",
            "Run dsa-train run --params 'my params.yaml' --set warp.size=16 --dataset duke; then look.",
        ),
        ("dsa-train embed DIR --out FILE", "dsa-train embed DIR --out FILE"),
        ("Name it: --out.\nBuild: dsap show.", "Name it: --out\nBuild: dsap show --dataset market1501"),
        ("Leave it out, see dsap show. Then go on.", "Leave it out, see dsap show --dataset market1501. Then go on."),
        ("See dsap show\nand more", "See dsap show --dataset market1501\nand more"),
        ("Nothing of ours: pip install x", "Nothing of ours: pip install x"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("given")
def test_commands_get_the_options_that_were_given(message: str, completed: str) -> None:
    assert remedies.complete(message) == completed


def test_without_options_a_message_gets_a_dataset_unless_params_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = "Build it again: dsap build --overwrite."
    assert remedies.complete(message) == "Build it again: dsap build --dataset NAME --overwrite"
    (tmp_path / "params.yaml").write_text("dataset: market1501\n")
    assert remedies.complete(message) == "Build it again: dsap build --overwrite"


FOLDER = "--pictures 'my images' --iuv x/iuv.h5 --out x/dsap.h5"


@pytest.mark.parametrize(
    ("line", "message", "completed"),
    [
        (f"dsap build {FOLDER}", "dsa-data prepare.", "densepose-extract run --pictures 'my images' --out x/iuv.h5"),
        (
            f"dsap build {FOLDER}",
            "densepose-extract run --jobs 2.",
            "densepose-extract run --pictures 'my images' --out x/iuv.h5 --jobs 2",
        ),
        (
            f"dsap build {FOLDER}",
            "densepose-extract stats.",
            "densepose-extract stats --pictures 'my images' --iuv x/iuv.h5",
        ),
        (f"dsap build {FOLDER}", "dsap build.", f"dsap build {FOLDER}"),
        (
            "dsap build --dataset d --iuv i.h5 --out o.h5 --jobs 2",
            "densepose-extract run --overwrite.",
            "densepose-extract run --dataset d --out i.h5 --overwrite",
        ),
        (
            "dsap build --dataset d --split query --iuv i.h5 --out o.h5",
            "dsap build --overwrite.",
            "dsap build --dataset d --split query --iuv i.h5 --out o.h5 --overwrite",
        ),
        (
            "dsap build --manifest m.csv --iuv i.h5 --root r --out o.h5 --overwrite",
            "dsa-data prepare.",
            "dsa-data prepare --dataset NAME --out m.csv",
        ),
        (
            "dsap verify --dataset d --dsap o.h5 --iuv i.h5",
            "dsap build --overwrite.",
            "dsap build --dataset d --iuv i.h5 --out o.h5 --overwrite",
        ),
        (
            "dsa-train run --dataset d --dsap o.h5 --out runs/x",
            "dsap build --overwrite.",
            "dsap build --dataset d --out o.h5 --overwrite",
        ),
        (
            "dsa-train evaluate --dataset d --run r --dsap o.h5",
            "dsa-train run.",
            "dsa-train run --dataset d --dsap o.h5",
        ),
        (
            "dsa-train probe --dataset d --iuv i.h5",
            "densepose-extract run; or name others: --iuv.",
            "densepose-extract run --dataset d --out i.h5; or name others: --iuv",
        ),
        (
            "densepose-extract import --dataset d --from maps --bits 16",
            "densepose-extract run --overwrite.",
            "densepose-extract import --dataset d --from maps --bits 16 --overwrite",
        ),
        (
            "dsa-train embed 'my images' --model m.pt --out o.h5",
            "dsa-train embed DIR --out FILE --overwrite.",
            "dsa-train embed 'my images' --model m.pt --out o.h5 --overwrite",
        ),
        (
            "dsa-train embed --dataset d",
            "dsa-train embed DIR --out FILE --overwrite.",
            "dsa-train embed --dataset d --overwrite",
        ),
        (
            "dsa-train search --query q.jpg --query r.jpg --gallery g.h5 --model m.pt",
            "dsa-train search --overwrite.",
            "dsa-train search --query q.jpg --query r.jpg --gallery g.h5 --model m.pt --overwrite",
        ),
        (
            "dsa-train search --query q.jpg --gallery g.h5 --model m.pt",
            "dsa-train embed DIR --out FILE --overwrite.",
            "dsa-train embed DIR --out g.h5 --overwrite",
        ),
    ],
)  # fmt: skip
def test_commands_get_the_paths_that_were_given(
    line: str, message: str, completed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    group = GROUPS[program]
    group.resolve_command(click.Context(group), words)
    assert remedies.complete(message) == completed
    remedies.remember()


def test_a_remedy_in_a_folder_with_params_does_not_switch_them_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("dataset: synthetic-big\nsynth: {width: 32}\n")
    result = CliRunner().invoke(dsa_data.cli.main, ["stats"])
    assert result.exit_code == 2
    assert "Render it: dsa-data synth" in result.stderr
    assert "--dataset" not in result.stderr
    result = CliRunner().invoke(dsa_data.cli.main, ["stats", "--dataset", "synthetic-big"])
    assert "Render it: dsa-data synth --dataset synthetic-big" in result.stderr


@pytest.mark.parametrize("command", sorted(remedies.WITH_SETTINGS))
def test_commands_with_settings_take_them(command: str) -> None:
    assert {"--dataset", "--params", "--experiment", "--set"} <= options_of(command)


@pytest.mark.parametrize("command", sorted(remedies.WITH_DATASET))
def test_commands_with_a_dataset_take_it(command: str) -> None:
    assert "--dataset" in options_of(command)


def test_a_message_with_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="--overwite"):
        check("Build it again: dsap build --overwite.")
    with pytest.raises(AssertionError, match="does not exist"):
        check("Build it again: dsap biuld.")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Make it again: dsa-train embed --overwrite.", "without its folder"),
        ("Make it again: dsa-train embed DIR.", "without its folder"),
        ("Make it again: dsa-train embed DIR --out FILE.", ""),
        ("Make it again: dsa-train embed --dataset market1501 --overwrite.", ""),
        ("Search: dsa-train search --query a.jpg.", "without --gallery"),
        ("Search: dsa-train search --query a.jpg --gallery g.h5.", ""),
        ("Write it: dsa-train export.", "without its argument"),
        ("Write it: dsa-train export again.", "without its argument"),
        ("Write it: dsa-train export FILE --model MODEL.", ""),
        ("See dsa-train export --help.", ""),
        ("Build: dsap build --dataset x, or dsa-train export.", "without its argument"),
    ],
)
def test_what_a_command_requires_is_in_the_message(message: str, fault: str) -> None:
    if fault:
        with pytest.raises(AssertionError, match=fault):
            check(message)
    else:
        check(message)


# Refusals in an empty folder, and what each must say. All of them are checked as command lines, by the fixture of
# conftest.py; the next case is a line.
REFUSALS = {
    "dsap build --pictures nowhere --iuv x/iuv.h5 --out x/dsap.h5": "nowhere is not a folder. Name the folder",
    "dsap build --pictures here --iuv x/iuv.h5 --out x/dsap.h5": "List the images first: densepose-extract run "
    "--pictures here --out x/iuv.h5",
    "dsap build --dataset synthetic": "List the images first: dsa-data prepare --dataset synthetic",
    "dsap verify --dataset synthetic": "List the images first: dsa-data prepare --dataset synthetic",
    "dsap export --dataset synthetic --out y": "List the images first: dsa-data prepare --dataset synthetic",
    "dsap show --dataset synthetic": "Build it first: dsap build --dataset synthetic",
    "densepose-extract stats --dataset synthetic": "Make the maps first: densepose-extract run --dataset synthetic",
    "densepose-extract stats --pictures here --iuv x/iuv.h5": "Make the maps first: densepose-extract run "
    "--pictures here --out x/iuv.h5",
    "dsa-train run --dataset synthetic": "List the images first: dsa-data prepare --dataset synthetic",
    "dsa-train export m.onnx --dataset synthetic --experiment demo": "Train first: dsa-train run --dataset synthetic "
    "--experiment demo; or name",
    "dsa-train export m.onnx --model m.pt": "m.pt does not exist. Name another model: --model FILE\n",
    "dsa-train search --query a.jpg --gallery g.h5": "Make it first: dsa-train embed DIR --out g.h5",
    "dsa-train search": "Missing option '--query'. See ",
    "dsa-train export m.foo --model m.pt": "m.foo: expected a name that ends in .onnx",
    "dsa-train evaluate --dataset market1501 --manifest here --run nowhere": "nowhere does not exist. Name another "
    "run: --run RUN\n",
    "densepose-extract run --dataset synthetic --checkpoint nope.pkl": "The engine rendered runs no network and does "
    "not use --checkpoint.",
    "densepose-extract run --dataset market1501 --engine import --device cpu --precision bf16": "does not use "
    "--device, --precision.",
    "dsa-train summary --dataset market1501 --set train.network.main.trunk=resnet51": "--set: train.network.main: "
    "trunk = 'resnet51' is invalid",
    "dsa-data check --dataset market1501+": "'market1501+' joins datasets by '+', and a name is missing.",
    "dsa-train run --dataset +": "'+' joins datasets by '+', and a name is missing.",
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSALS)
def test_refusals_in_an_empty_folder(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    program, *arguments = line.split()
    result = CliRunner().invoke(GROUPS[program], arguments)
    remedies.remember()
    assert result.exit_code == 2, result.output
    assert REFUSALS[line] in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["here"], "a refusal leaves nothing behind"


def test_a_pasted_remedy_keeps_the_size(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remedy without the user's --set would build the store at another size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSA_DATASETS", str(market.parent))
    (tmp_path / "mine.yaml").write_text("dataset: market1501\nwarp: {size: 8}\ntrain: {network: {weights: none}}\n")
    result = CliRunner().invoke(dsa_train, ["run", "--params", "mine.yaml", "--set", "train.epochs=1"])
    assert result.exit_code == 2
    line = result.stderr.strip()
    command = shlex.split(line[line.index("dsa-data prepare") :].rstrip("."))
    assert {"--params", "mine.yaml", "--set", "train.epochs=1"} <= set(command)


def test_a_command_in_a_folder_with_params_uses_them_and_says_so(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSA_DATASETS", str(market.parent))
    (tmp_path / "params.yaml").write_text("dataset: market1501\nexperiment: demo\nwarp: {size: 8}\n")
    result = CliRunner().invoke(dsap.cli.main, ["build"])
    assert result.stderr.startswith("params.yaml: dataset market1501, experiment demo\nerror: ")
    assert CliRunner().invoke(dsap.cli.main, ["build", "--dataset", "market1501"]).stderr.startswith("error: ")
    (tmp_path / "params.yaml").unlink()
    result = CliRunner().invoke(dsap.cli.main, ["build"])
    assert (result.exit_code, result.stderr.startswith("error: No dataset is given")) == (2, True)


WITH_DATASET = [
    f"{program} {name}"
    for program, group in GROUPS.items()
    for name, command in group.commands.items()
    if any("--dataset" in parameter.opts for parameter in command.params)
]


@pytest.mark.parametrize("command", WITH_DATASET)
def test_an_empty_dataset_is_refused_by_every_command(command: str) -> None:
    program, name = command.split()
    result = CliRunner().invoke(GROUPS[program], [name, "--dataset", ""])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert "--dataset is empty" in result.stderr


@pytest.mark.parametrize("command", ["dsa-train experiments", "dsa-train report", "dsa-train embed", "dsap verify"])
@pytest.mark.parametrize("dataset", ["../x", "nope", ".."])
def test_an_unknown_dataset_is_refused(
    command: str, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, name = command.split()
    result = CliRunner().invoke(GROUPS[program], [name, "--dataset", dataset])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert ("is no name of a dataset" in result.stderr) == (dataset != "nope")


def test_a_dataset_with_results_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "artifacts" / "mine").mkdir(parents=True)
    assert CliRunner().invoke(dsa_train, ["experiments", "--dataset", "mine"]).exit_code == 0


@pytest.mark.parametrize("command", sorted(remedies.WITH_SETTINGS - {"dsa-train summary"}))
def test_the_rule_is_the_same_for_every_command(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, name = command.split()
    group = GROUPS[program]
    for arguments, words in (([], "No dataset is given"), (["--dataset", ""], "--dataset is empty")):
        result = CliRunner().invoke(group, [name, *arguments])
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_dvc_and_another_folder_for_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("DVC_STAGE", "warp")
    result = CliRunner().invoke(dsap.cli.main, ["build", "--dataset", "market1501"])
    assert result.exit_code == 2
    assert "unset DSA_ARTIFACTS" in result.stderr
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    assert "unset DSA_ARTIFACTS" not in CliRunner().invoke(dsap.cli.main, ["build", "--dataset", "market1501"]).stderr
