"""A signal ends a command with one line, whatever it meets: work, a library's own handling, a destructor, no work."""

import os
import signal
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dsa_app import console, interrupt


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupt.Interrupted.last = None


def run(work: str, decorator: str = "main.command()") -> tuple[int, str]:
    """Run a command `work` in a process of its own; return its exit code and standard error."""
    program = f"""
import importlib, os, signal, sys, types
import click
from dsa_app import console, entry, interrupt

@click.group(cls=console.Commands)
def main(): pass

@{decorator}
def work():
{textwrap.indent(textwrap.dedent(work), "    ")}

importlib.import_module = lambda name: types.SimpleNamespace(main=main)
sys.argv = ["command", "work"]
entry.data()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_in_the_middle_of_work(number: int) -> None:
    assert run(f"os.kill(os.getpid(), {number})") == (128 + number, interrupt.MESSAGE + "\n")


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_command_that_keeps_its_work_is_said_to_resume(number: int) -> None:
    resumable = "main.command(cls=console.Resumable)"
    expected = "Interrupted. Run the same command to resume.\n"
    assert run(f"os.kill(os.getpid(), {number})", resumable) == (128 + number, expected)


def test_a_command_has_a_line_of_its_own() -> None:
    work = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except interrupt.Interrupted as stopped:
        stopped.line = "Server stopped."
        raise
    """
    assert run(work) == (130, "Server stopped.\n")


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_after_ignore_the_error_is_printed(number: int) -> None:
    work = f"""
    interrupt.ignore()
    os.kill(os.getpid(), {number})
    try:
        raise click.ClickException("the cause")
    finally:
        os.kill(os.getpid(), {number})
    """
    code, printed = run(work)
    assert code == 1
    assert printed == "Error: the cause\n"


def test_a_library_that_turns_it_into_an_error_of_its_own() -> None:
    work = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("the file cannot be written")
    """
    assert run(work) == (130, interrupt.MESSAGE + "\n")


def test_where_a_library_calls_back_it_is_deferred() -> None:
    work = """
    import time
    with interrupt.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        print("written", file=sys.stderr)
    time.sleep(10)
    """
    assert run("from dsa_app import interrupt\n" + textwrap.dedent(work)) == (143, f"written\n{interrupt.MESSAGE}\n")


def test_while_hdf5_writes_nothing_crashes() -> None:
    """HDF5 ends the process if a write fails while it closes a file."""
    work = """
    import tempfile
    from pathlib import Path
    from dsa_data.stores import header
    write, left = header._Disk.write, [3]
    def interrupted(disk, data):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return write(disk, data)
    class Disk(header._Disk):
        def write(self, data):
            with header.deferred():
                return interrupted(self, data)
    header._Disk = Disk
    with tempfile.TemporaryDirectory() as folder:
        with header.creating(Path(folder, "a.h5"), "form", header.Header("", {}, ""), ["a"]) as file:
            file["x"] = list(range(100000))
        import time
        time.sleep(10)
    """
    assert run(work) == (143, interrupt.MESSAGE + "\n")


def test_in_a_callback_of_the_garbage_collector() -> None:
    work = """
    import time, weakref
    class Thing: pass
    def tidy(thing):
        os.kill(os.getpid(), signal.SIGTERM)
    tidy.__code__ = tidy.__code__.replace(co_filename=weakref.__file__)
    thing = Thing()
    reference = weakref.ref(thing, tidy)
    del thing
    time.sleep(10)
    """
    assert run(work) == (143, interrupt.MESSAGE + "\n")


def test_before_there_is_any_work() -> None:
    program = "import os, signal, time; from dsa_app import interrupt; interrupt.exit_at_once(); "
    program += "os.kill(os.getpid(), signal.SIGINT); time.sleep(10)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, interrupt.MESSAGE + "\n")


def test_while_click_parses_the_arguments() -> None:
    """Click prints "Aborted!" where a KeyboardInterrupt reaches it."""
    program = """
import importlib, os, signal, sys, types
import click
from dsa_app import console, entry

@click.group(cls=console.Commands)
def main(): pass

@main.command()
@click.option("--x", callback=lambda *_: None)
def work(x): pass

main.make_context = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
importlib.import_module = lambda name: types.SimpleNamespace(main=main)
sys.argv = ["command", "work"]
entry.data()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, interrupt.MESSAGE + "\n")


def test_a_command_in_the_background_ignores_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt.raise_interrupted()
    os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_error_after_no_signal_is_no_interrupt() -> None:
    assert interrupt.exit_code(RuntimeError("other")) is None
    assert interrupt.exit_code(KeyboardInterrupt()) == 130


def test_cleans_up_as_it_passes() -> None:
    @click.group(cls=console.Commands)
    def main() -> None:
        pass

    tidied = []

    @main.command()
    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            tidied.append(weakref)

    interrupt.raise_interrupted()
    result = CliRunner().invoke(main, ["work"])
    assert (result.exit_code, result.stderr, len(tidied)) == (143, interrupt.MESSAGE + "\n", 1)
