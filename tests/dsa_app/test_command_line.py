"""Habits of the four programs: --version, --quiet, completion, exit codes, no colours, one name for one option."""

import errno
import importlib.metadata
import io
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from densepose_extract.cli import main as extract
from dsa_app import console
from dsa_app.errors import DatasetError
from dsa_data.cli import main as data
from dsa_train.cli import main as train
from dsap.cli import main as dsap
from repository import ROOT

GROUPS: dict[str, click.Group] = {"dsa-data": data, "densepose-extract": extract, "dsap": dsap, "dsa-train": train}
STARTS = {"dsa-data": "data", "densepose-extract": "extract", "dsap": "dsap", "dsa-train": "train"}
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
COMMANDS = [(name, command) for name, group in GROUPS.items() for command in sorted(group.commands)]
# A program as its entry point runs it; then the packages that it imported, to the standard error.
PROGRAM = """
import sys
from dsa_app import entry
sys.argv = sys.argv[1:]
try:
    getattr(entry, {start!r})()
finally:
    print(*sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def start(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSA_")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(start=STARTS[words[0]]), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=kept | variables,
    )


# --version


@pytest.mark.parametrize("name", GROUPS)
def test_version(name: str) -> None:
    done = CliRunner().invoke(GROUPS[name], ["--version"], prog_name=name)
    assert (done.exit_code, done.output) == (0, f"{name} {importlib.metadata.version('dsa-reid')}\n")


# Completion


def completed(*words: str, cwd: Path | None = None) -> list[str]:
    """Return what the shell offers for the last of the words, within a second of CPU and without torch."""
    variable = f"_{words[0].upper().replace('-', '_')}_COMPLETE"
    line = {variable: "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    for _ in range(3):  # the machine may be busy
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out, errors = start(words[0], cwd=cwd, **line).communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        (packages,) = errors.splitlines()  # nothing else may be printed over the line that the user writes
        assert not {"torch", "scipy", "cv2", "h5py"} & set(packages.split())
        if after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1:
            return [text.partition(",")[2] for text in out.splitlines()]
    pytest.fail("completion takes more than a second of CPU")


@pytest.mark.parametrize("name", GROUPS)
def test_commands_are_completed(name: str) -> None:
    assert completed(name, "") == sorted(GROUPS[name].commands)


def test_options_and_values_are_completed(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("dataset: market1501\n")  # which a command would name on the terminal
    (tmp_path / "datasets" / "market1501").mkdir(parents=True)
    (tmp_path / "artifacts" / "msmt17").mkdir(parents=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "own.yaml").write_text("")
    assert completed("dsa-data", "stats", "--da", cwd=tmp_path) == ["--dataset"]
    assert completed("dsa-data", "stats", "--dataset", "", cwd=tmp_path) == ["market1501", "msmt17"]
    assert completed("dsa-train", "run", "--dataset", "ms", cwd=tmp_path) == ["msmt17"]
    assert completed("dsa-train", "run", "--dataset", "x", "--experiment", "o", cwd=tmp_path) == ["own"]
    assert "table3/dsa-reid" in completed("dsa-train", "export", "--experiment", "table3/", cwd=tmp_path)
    assert completed("dsa-train", "evaluate", "--match", "fu", cwd=tmp_path) == ["fused"]
    assert completed("dsap", "build", "--jobs", "0", "--ov", cwd=tmp_path) == ["--overwrite"]


def test_the_documented_scripts_complete(tmp_path: Path) -> None:
    """The loop of the page writes bash functions that bash accepts and that complete a command."""
    loop = re.search(r"```sh\n(for .*?done)", PAGE, re.DOTALL)
    assert loop
    scripts = Path(sys.executable).parent
    text = f"{loop[1]} > {tmp_path}/complete.sh\n. {tmp_path}/complete.sh\ncomplete -p dsa-data densepose-extract dsap"
    path = f"{scripts}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("complete -o nosort -F _") == 3
    for shell in ("bash", "zsh", "fish"):
        for name in re.findall(rf"`[^`]*(_DSA_TRAIN_COMPLETE={shell}_source dsa-train)", PAGE):
            source = subprocess.run(["bash", "-c", name], capture_output=True, text=True, env={"PATH": path})
            assert "_DSA_TRAIN_COMPLETE" in source.stdout


# --quiet and progress


@click.group("group", cls=console.Commands)
def group() -> None:
    """Commands that print."""


@group.command()
def work() -> None:
    """Work for a while."""
    console.status("starting")
    for _ in console.progress(range(3), 3, "working"):
        time.sleep(0)
    click.echo("result")


class Clock:
    """A clock that is five seconds later each time."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 5
        return self.now


def test_quiet_prints_results_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", Clock())
    done = CliRunner().invoke(group, ["work", "--quiet"])
    assert (done.stdout, done.stderr) == ("result\n", "")
    done = CliRunner().invoke(group, ["work"])  # it was for the one command alone
    assert done.stdout == "result\n"
    assert done.stderr.startswith("starting\nworking: 1/3 images\n")


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_command_has_quiet(program: str, name: str) -> None:
    assert [option for option in GROUPS[program].commands[name].params if "--quiet" in option.opts]


def progress_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, times: list[float]
) -> list[str]:
    """Return the lines of work whose items are done at these times."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for index in console.progress(range(len(times)), len(times), "working"):
        now[0] = times[index]
    return capsys.readouterr().err.splitlines()


def test_lines_of_a_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = progress_lines(capsys, monkeypatch, [0.5, 1, 1.5, 2, *range(3, 31)])
    assert lines == [
        "working: 2/32 images, 2 a second, 15 s left",
        "working: 13/32 images, 1 a second, 17 s left",
        "working: 23/32 images, 1 a second, 8 s left",
        "working: 32 images in 30 s",
    ]


def test_lines_of_a_long_log_are_further_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = progress_lines(capsys, monkeypatch, [float(second) for second in range(1, 3601)])
    assert len(lines) == 61 + 49 + 1
    assert lines[30] == "working: 301/3600 images, 1 a second, 54 min 59 s left"
    assert lines[-1] == "working: 3600 images in 1 h 0 min"


def test_slow_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An item takes minutes: the rate is no "0 a second"."""
    lines = progress_lines(capsys, monkeypatch, [100.0, 200.0, 300.0])
    assert lines == [
        "working: 1/3 images",
        "working: 2/3 images, 1 min 40 s left",
        "working: 3/3 images, 0 s left",
        "working: 3 images in 5 min 0 s",
    ]


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_lines(capsys, monkeypatch, [0.1, 0.5, 0.9]) == []


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_a_bar_on_a_terminal_has_no_colours(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    list(console.progress(range(200), 200, "working"))
    assert "\r" in terminal.getvalue()
    assert "working: 100%" in terminal.getvalue()
    assert "200/200 images" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()
    assert list(console.progress([], 0, "nothing")) == []


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("time.monotonic", Clock())
    list(console.progress(range(3), 3, "working"))
    assert "working: 1/3 images\n" in terminal.getvalue()
    assert "\r" not in terminal.getvalue()


# Exit codes


def documented() -> set[int]:
    table = PAGE.partition("## Exit codes")[2].partition("## Output")[0]
    return {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (DatasetError("It is missing. Put it there."), 2),
        (OSError(28, "full"), 2),
        (click.UsageError("no"), 2),
        (KeyboardInterrupt(), 130),
        (RuntimeError("a fault"), 1),
    ],
)
def test_exit_codes(error: BaseException | None, code: int) -> None:
    @click.group("group", cls=console.Commands)
    def program() -> None:
        """A program."""

    @program.command()
    def run() -> None:
        if error is not None:
            raise error

    done = CliRunner().invoke(program, ["run"])
    assert done.exit_code == code
    assert code in documented()
    assert (isinstance(done.exception, RuntimeError)) == (code == 1), "only a fault of ours has a traceback"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_exit_codes_of_signals(number: signal.Signals, tmp_path: Path) -> None:
    """A command that waits for its input is stopped: it reads settings from a pipe into which nobody writes."""
    settings = tmp_path / "params.yaml"
    os.mkfifo(settings)
    process = start("dsa-train", "summary", "--params", "params.yaml", cwd=tmp_path)
    try:
        writer = opened_for_writing(settings)
        try:
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            os.close(writer)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "Interrupted." in errors.splitlines(), "summary keeps nothing that could be resumed"
    assert process.returncode in documented()


RESUMED = {
    *(("dsa-data", name) for name in ("prepare", "synth", "unpack")),
    *(("densepose-extract", name) for name in ("run", "import")),
    *(("dsap", name) for name in ("build", "fuse")),
    *(("dsa-train", name) for name in ("run", "embed", "compare", "ablation")),
}


def test_commands_that_keep_their_finished_work_are_those_that_are_resumed() -> None:
    """The others keep nothing: there is nothing to resume of a page, a search or a report."""
    marked = {(program, name) for program, name in COMMANDS if is_resumable(GROUPS[program].commands[name])}
    assert marked == RESUMED


def is_resumable(command: click.Command) -> bool:
    return isinstance(command, console.Resumable)


def opened_for_writing(pipe: Path) -> int:
    """Return a descriptor for writing into a pipe, as soon as another process has it open for reading."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


# One name for one option

DIFFER = {
    "--mean",  # of dsap show, an identity; of dsa-train report, files; of dsa-train explain, yes or no
    "--labels",  # of dsa-train compare, for several features, with their titles
    "--dataset",  # of dsa-train compare, several
    "--batch",  # with and without a limit that click checks
}
FORMER = {"--store", "--length", "--hits", "--workers", "--picture"}


def shared_options() -> dict[str, list[click.Option]]:
    """Return the options that several commands have, by name."""
    found = defaultdict(list)
    for program, name in COMMANDS:
        for option in GROUPS[program].commands[name].params:
            if isinstance(option, click.Option):
                found[option.opts[0]].append(option)
    assert not FORMER & found.keys()
    return {name: options for name, options in found.items() if len(options) > 1}


def test_an_option_is_of_one_kind_in_all_commands() -> None:
    for name, options in shared_options().items():
        kinds = {(option.type.name, option.is_flag, option.multiple) for option in options}
        assert len(kinds) == 1 or name in DIFFER, f"{name}: {kinds}"


def test_the_page_lists_the_options_that_several_commands_have() -> None:
    table = PAGE.partition("## Options that several commands have")[2]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE)) == set(shared_options())


@pytest.mark.parametrize(
    "words", ["compare A.h5 B.h5 --json agreement.json", "compare --json agreement.json A.h5 B.h5"]
)
def test_a_file_after_json_is_answered_with_how_to_write_one(words: str) -> None:
    """--json took a file once; now that would be one more argument."""
    refused = CliRunner().invoke(GROUPS["densepose-extract"], words.split(), prog_name="densepose-extract")
    assert refused.exit_code == 2
    (error,) = refused.stderr.splitlines()
    assert "--json takes no file. Write what it prints to one: --json > FILE. " in error
    assert error.endswith("See densepose-extract compare --help"), "without the options that do not fit"


def test_too_many_arguments_alone_are_not_answered_with_json() -> None:
    words = ["compare", "A.h5", "B.h5", "C.h5", "--json"]
    refused = CliRunner().invoke(GROUPS["densepose-extract"], words, prog_name="densepose-extract")
    assert refused.exit_code == 2
    assert "--json takes no file" not in refused.stderr
