"""Errors on the command line: one line, exit code 2; the option --jobs."""

import errno
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import DatasetError


@click.group(cls=console.Commands)
def main() -> None:
    """Commands."""


@main.command()
@click.argument("number", type=int)
@click.option("--file", default="out.h5")
def trouble(number: int, file: str) -> None:
    """Raise an error of the operating system."""
    raise OSError(number, os.strerror(number), file)


@main.command()
def invalid() -> None:
    """Raise an error of this project."""
    raise DatasetError("It is not there. Put it there.")


@main.command()
@console.jobs("How many.")
def work(jobs: int) -> None:
    """Print the number of workers."""
    click.echo(jobs)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space is left"),
        (errno.EACCES, "Permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EFBIG, "ulimit"),
        (errno.EISDIR, "Is a directory. Use another path."),
        (errno.ENOTDIR, "Not a directory. Use another path."),
        (errno.EEXIST, "File exists. Use another path."),
    ],
)
def test_an_error_of_the_system_is_one_line_with_the_file(number: int, words: str) -> None:
    result = CliRunner().invoke(main, ["trouble", str(number)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: out.h5: ")
    assert words in line


def test_an_error_without_a_file_names_the_output() -> None:
    @click.group("group", cls=console.Commands)
    def group() -> None:
        """A group."""

    @group.command()
    @click.option("--out")
    def write(out: str) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    result = CliRunner().invoke(group, ["write", "--out", "x.parquet"])
    assert result.stderr.startswith("error: x.parquet: The file grows too large.")


def test_a_failed_rename_names_its_target(tmp_path: Path) -> None:
    @main.command()
    def rename() -> None:
        (tmp_path / "new").write_text("")
        (tmp_path / "new").replace(taken)

    taken = tmp_path / "taken"
    taken.mkdir()
    result = CliRunner().invoke(main, ["rename"])
    assert (result.exit_code, result.stderr) == (2, f"error: {taken}: Is a directory. Use another path.\n")


def test_an_error_is_one_line() -> None:
    result = CliRunner().invoke(main, ["invalid"])
    assert (result.exit_code, result.stderr) == (2, "error: It is not there. Put it there.\n")


def test_zero_jobs_are_refused() -> None:
    result = CliRunner().invoke(main, ["work", "--jobs", "0"])
    assert result.exit_code == 2
    assert "--jobs must not be 0" in result.stderr
    assert CliRunner().invoke(main, ["work", "--jobs", "-1"]).output == "-1\n"


def test_a_killed_worker_is_reported_in_one_line():
    """loky's own error is of the kind that the standard library's pools raise."""

    @click.group(cls=console.Commands)
    def group() -> None:
        """A group."""

    @group.command()
    def work() -> None:
        raise TerminatedWorkerError("long words of loky's")

    found = CliRunner().invoke(group, ["work"])
    assert found.exit_code == 2
    assert found.output.startswith("error: A worker was killed")


@main.command()
@click.option("--query", required=True)
@click.option("--engine", type=click.Choice(["numpy", "flat"]), required=True)
def wanted(query: str, engine: str) -> None:
    """Need options."""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("wanted", "Missing option '--query'. See main wanted --help."),
        ("wanted --query a", "Missing option '--engine'. Choose from: numpy, flat. See main wanted --help."),
        ("wanted --query a --engine b", "Invalid value for '--engine': 'b' is not one of 'numpy', 'flat'."),
        ("wanted --quary a", "No such option"),
        ("trouble", "Missing argument 'NUMBER'."),
        ("trouble x", "Invalid value for 'NUMBER': 'x' is not a valid integer."),
        ("trouble 1 2", "Got unexpected extra argument (2)."),
        ("wanted --query", "Option '--query' requires an argument."),
        ("want", "No such command 'want'."),
        ("--want", "No such option"),
    ],
)
def test_options_that_do_not_fit_are_one_line(line: str, words: str) -> None:
    result = CliRunner().invoke(main, line.split(), prog_name="main")
    assert result.exit_code == 2
    (error,) = result.stderr.splitlines()
    assert error.startswith(f"error: {words}")
    assert error.endswith("--help.") or "requires an argument" in error  # which click raises without the command


def test_a_group_alone_prints_its_help() -> None:
    assert "Commands:" in CliRunner().invoke(main, []).output


@main.command()
@console.with_settings()
def told(settings: Settings) -> None:
    """Print where the settings are from."""
    click.echo(settings.dataset)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--experiment", "table3/two-branches"], "warp, train are not used"),
        (["--experiment", "demo"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_sections_that_an_experiment_leaves_out_are_named(
    named: bool, given: list[str], line: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("dataset: synthetic\nwarp: {size: 16}\ntrain: {epochs: 2}\n")
    result = CliRunner().invoke(main, ["told", *(["--params", "params.yaml"] if named else []), *given])
    assert result.exit_code == 0
    assert ("not used" in result.stderr) == (line is not None)
    assert line is None or line in result.stderr
