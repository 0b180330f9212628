"""Names of files that a user gave: each fault is named before any work."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from densepose_extract.cli import main as extract
from dsa_app import console
from dsa_app.errors import ConfigError, DsaError
from dsa_app.file_names import check_place, why_no_file
from dsa_data.cli import main as data
from dsa_data.images import read_bytes
from dsa_data.sharing.archive import opened
from dsa_data.stores.dsap import DsapStore
from dsa_reid.errors import ModelError
from dsa_reid.weights_file import read_weights
from dsa_train.cli import main as train
from dsa_train.evaluation.label_table import read_table
from dsap.cli import main as dsap


def test_why_a_path_names_no_file(tmp_path: Path) -> None:
    assert why_no_file(tmp_path / "nothing") == "does not exist"
    assert why_no_file(tmp_path) == "is a folder"
    assert why_no_file(Path("/dev/null")) == "is not a file"


def outputs() -> list[tuple[click.Group, str, str]]:
    """Return group, command and option of every option that names a file to write."""
    return [
        (group, name, option.opts[0])
        for group in (data, extract, dsap, train)
        for name, command in group.commands.items()
        for option in command.params
        if isinstance(option.type, console.OutputFile) and isinstance(option, click.Option)
    ]


def test_all_options_that_name_a_file_to_write_are_known() -> None:
    """Any other `--out` names a folder, or a file or a folder."""
    named = set(outputs())
    assert {(train, "evaluate", "--write-distances"), (train, "compare", "--figure"), (dsap, "build", "--out")} <= named
    others = {
        (group, name)
        for group in (data, extract, dsap, train)
        for name, command in group.commands.items()
        for option in command.params
        if "--out" in option.opts and (group, name, "--out") not in named
    }
    assert others == {(train, "run"), (train, "rank"), (dsap, "export")}


@pytest.mark.parametrize(("group", "name", "option"), outputs())
def test_a_file_that_cannot_be_written_is_known_at_once(
    group: click.Group, name: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    result = CliRunner().invoke(group, [name, option, "folder"])
    assert result.exit_code == 2
    assert f"error: {option} folder: this is a folder. Name a file." in result.stderr
    result = CliRunner().invoke(group, [name, option, "file/below/new"])
    assert result.exit_code == 2
    assert f"error: {option} file/below/new: {tmp_path / 'file'} is not a folder. Name a file in one." in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_place_for_a_file(tmp_path: Path) -> None:
    check_place(tmp_path / "new", "--out")
    check_place(tmp_path / "new folder" / "new", "--out")
    with pytest.raises(ConfigError, match="this is a folder"):
        check_place(tmp_path, "--out")


@pytest.mark.parametrize(
    "read", [read_bytes, read_table, lambda path: opened(path).__enter__(), lambda p: DsapStore(p).keys]
)
def test_a_folder_in_place_of_a_file_is_called_one(read, tmp_path: Path) -> None:
    with pytest.raises(DsaError, match="is a folder") as caught:
        read(tmp_path)
    assert "exist" not in str(caught.value)


@pytest.mark.parametrize("jobs", ["9999999", "-9999999", "9" * 11, "9" * 40])
def test_more_processes_than_any_machine_has_cores_are_refused(jobs: str) -> None:
    result = CliRunner().invoke(data, ["prepare", "--dataset", "synthetic", "--jobs", jobs])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "expected at most 4,096" in result.stderr


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["evaluate", "--dataset", "market1501", "--run", "folder"], "folder is no run: it has no model.pt. Name the "),
        (["report", "--dataset", "market1501", "folder"], "folder is no run: it has no model.pt. Name the folder of a"),
        (["search", "--query", "a.jpg", "--gallery", "folder", "--model", "folder"], "folder is a folder. Name "),
        (["embed", "folder", "--out", "a.h5", "--model", "folder"], "folder is a folder. Name the model in it"),
    ],
)
def test_a_folder_in_place_of_a_run_or_a_model(
    command: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jpg").touch()
    (tmp_path / "artifacts" / "market1501").mkdir(parents=True)
    (tmp_path / "artifacts" / "market1501" / "manifest.csv").touch()
    result = CliRunner().invoke(train, command)
    assert result.exit_code == 2
    assert answer in result.stderr


def test_a_name_that_cannot_be_read_is_to_be_checked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, answer in (
        ("nothing.pt", "Check its name."),
        ("file/below.pt", "Check its name."),
        (".", "Name a file."),
    ):
        with pytest.raises(ModelError) as caught:
            read_weights(tmp_path / name)
        assert str(caught.value).endswith(answer)


def test_no_command_makes_maps_of_an_unknown_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(data, ["pack", "--dataset", "market15"])
    assert result.exit_code == 2
    assert "Make the maps" not in result.stderr
    assert "market1501" in result.stderr
