"""A warm parent: a process that has imported the whole project once, and forks a child for each command.

Starting a command takes seconds, most of them PyTorch's imports. A fork of a process that has done the imports and
nothing else starts in milliseconds, so that hundreds of kills fall into the work of a command and not into its start.
Processes that start from nothing are tested too, fewer of them: see `cold`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import dataclasses
import gc
import importlib
import json
import os
import pkgutil
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .run import ENTRIES, Ended, Run

PACKAGES = ("dsa_app", "dsa_data", "densepose_extract", "dsap", "dsa_reid", "dsa_train")
LIBRARIES = ("scipy.io", "joblib.externals.loky", "dvclive", "pyarrow.parquet", "faiss", "torch.export", "torch.onnx")
EXTRAS = ("onnx", "onnxscript", "torch._export.serde.serialize", "matplotlib.figure", "onnxruntime")
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
PR_SET_CHILD_SUBREAPER = 36
CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
STOPS = (signal.SIGINT, signal.SIGTERM)
GRACE = 10.0  # seconds in which the processes of a run have to end after the run itself


class Warm:
    """The parent's other end: a context that runs commands in forks of a process with everything imported."""

    def __enter__(self) -> Warm:
        here = Path(__file__).resolve().parents[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DSA_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.warm"],
            cwd=here,
            env=environment | QUIET,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert json.loads(self._read()) == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def __call__(self, *runs: Run, timeout: float = 120.0) -> list[Ended]:
        """Run commands at the same time, and wait until all have ended; each is killed after `timeout` seconds."""
        assert self._process.stdin is not None
        plain = [dataclasses.asdict(run) | {"folder": str(run.folder), "log": str(run.log)} for run in runs]
        self._process.stdin.write(json.dumps({"runs": plain, "timeout": timeout}) + "\n")
        self._process.stdin.flush()
        return [Ended(**{**one, "left": tuple(one["left"])}) for one in json.loads(self._read())]

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the warm parent has ended"
        return line


def cold(*runs: Run, timeout: float = 120.0) -> list[Ended]:
    """Do as `Warm` does, with processes that start from nothing."""
    children = _Children()

    def start(run: Run) -> int:
        out, err = _files(run)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DSA_")}
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(run.command[0])), *run.command[1:]],
            cwd=run.folder,
            env=environment | QUIET | dict(run.environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        os.close(out)
        os.close(err)
        process.returncode = 0  # `_Children` collects the exit code
        return process.pid

    return children.run(runs, timeout, start)


@dataclasses.dataclass
class _Child:
    run: Run
    begins: float
    pid: int = 0
    poll: int = -1
    code: int | None = None
    started: float = 0.0
    ended: float = 0.0
    sent: bool = False
    late: bool = False


class _Children:
    """Runs that are under way at the same time: started, disturbed, waited for."""

    def __init__(self) -> None:
        # processes whose parent has died become this one's children, so that none remains as a zombie
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def run(self, runs: Sequence[Run], timeout: float, start: Any) -> list[Ended]:
        origin = time.monotonic()
        children = [_Child(run, origin + run.delay) for run in runs]
        while any(child.code is None for child in children):
            now = time.monotonic()
            for child in children:
                if not child.pid and now >= child.begins:
                    child.started = time.monotonic()
                    child.pid = start(child.run)
                    child.poll = os.pidfd_open(child.pid)
                elif child.pid and child.code is None:
                    self._disturb(child, now - child.started, timeout)
            self._collect(children)
            running = [child.poll for child in children if child.pid and child.code is None]
            waiting = select.poll()
            for descriptor in running:
                waiting.register(descriptor, select.POLLIN)
            waiting.poll(self._pause(children))
        survivors = [self._survivors(child) for child in children]
        for child in children:
            os.close(child.poll)
        return [
            Ended(child.code or 0, child.ended - child.started, child.sent, left, child.late)
            for child, left in zip(children, survivors, strict=True)
        ]

    def _pause(self, children: Sequence[_Child]) -> float:
        """Return how many milliseconds nothing has to be done, unless a run ends."""
        now, moments = time.monotonic(), [0.05]
        for child in children:
            if not child.pid:
                moments.append(child.begins - now)
            elif child.code is None and child.run.signal and not child.sent:
                moments.append(child.started + child.run.after - now)
        return max(0.5, 1000 * min(moments))

    def _disturb(self, child: _Child, seconds: float, timeout: float) -> None:
        run = child.run
        if seconds > timeout and not child.late:
            child.late = True
            _send(os.killpg, child.pid, signal.SIGKILL)
        if not run.signal or child.sent or seconds < run.after:
            return
        if run.target == "group":
            child.sent = _send(os.killpg, child.pid, run.signal)
        elif run.target == "leader":
            child.sent = _send(os.kill, child.pid, run.signal)
        elif workers := _workers(child.pid) if run.target == "worker" else _ranks(child.pid):
            child.sent = _send(os.kill, workers[int(1000 * run.after) % len(workers)], run.signal)

    def _collect(self, children: Sequence[_Child]) -> None:
        by_pid = {child.pid: child for child in children if child.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in by_pid:
                by_pid[pid].code = os.waitstatus_to_exitcode(status)
                by_pid[pid].ended = time.monotonic()

    def _survivors(self, child: _Child) -> tuple[str, ...]:
        """Wait for the end of all processes that the run has started; kill those that remain, and return them."""
        until = time.monotonic() + (1.0 if child.code == -signal.SIGKILL and child.run.target == "group" else GRACE)
        while _send(os.killpg, child.pid, 0):
            self._collect([])
            if time.monotonic() > until:
                left = tuple(_words(pid) for pid in _group(child.pid))
                _send(os.killpg, child.pid, signal.SIGKILL)
                return tuple(words for words in left if words)
            time.sleep(0.002)
        return ()


def _send(send: Any, pid: int, number: int) -> bool:
    try:
        send(pid, number)
    except ProcessLookupError:
        return False
    return True


def _processes() -> list[tuple[int, int, int, str]]:
    """Return process, parent and group of all processes, and their state."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
                state, parent, group = stat[stat.rindex(")") + 2 :].split()[:3]
                found.append((int(entry), int(parent), int(group), state))
    return found


def _group(group: int) -> list[int]:
    return [pid for pid, _, of, state in _processes() if of == group and state != "Z"]


def _workers(leader: int) -> list[int]:
    """Return the joblib workers of a command that are up: children that have started to import."""
    return [pid for pid, parent, _, _ in _processes() if parent == leader and "popen_loky" in _words(pid)]


def _ranks(leader: int) -> list[int]:
    """Return the processes that a torchrun has started, once both are up."""
    found = [pid for pid, parent, _, _ in _processes() if parent == leader and "bin/d" in _words(pid)]
    return found if len(found) == 2 else []


def _words(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _files(run: Run) -> tuple[int, int]:
    """Open the files of a run's output."""
    run.log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    out, err = (os.open(run.log.with_name(run.log.name + suffix), flags, 0o644) for suffix in (".out", ".err"))
    return out, err


def _fork(run: Run) -> int:
    """Start a command in a fork; return its process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until the command itself runs
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return pid
    code = 1
    try:
        os.setsid()
        out, err = _files(run)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _command(run)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code)


def _command(run: Run) -> int:
    """Run a command as its script would, in this process; return the exit code."""
    os.chdir(run.folder)
    os.environ.update(dict(run.environment))
    if run.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run.file_limit, run.file_limit))
    if run.clock is not None:
        jumping(run.clock)
    if run.point is not None:
        killed_at(run.point, run.folder, run.log.with_name(run.log.name + ".changes"))
    if note := os.environ.pop("FAULTS_MEMORY", None):
        threading.Thread(target=_note_memory, args=(Path(note),), daemon=True).start()
    sys.argv = list(run.command)
    enter = getattr(importlib.import_module("dsa_app.entry"), ENTRIES[run.command[0]])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a process that Python still starts dies without a word
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        enter()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    return 0


def jumping(seed: int) -> None:
    """Make the time of day jump at every fifth look or so, by up to a year to and fro; the monotonic clock goes on."""
    moments, true, offset = random.Random(seed), time.time, 0.0

    def now() -> float:
        nonlocal offset
        if moments.random() < 0.2:
            offset = moments.uniform(-3e7, 3e7)
        return true() + offset

    time.time = now
    time.time_ns = lambda: int(now() * 1e9)


def killed_at(point: int, folder: Path, note: Path) -> None:
    """Kill this process before the change with number `point` of a file or folder below `folder`; count them in `note`.

    Python announces each change before it is made: files opened for writing, renamed or removed, folders made or
    removed.
    """
    count = 0
    counted = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    below = str(folder)

    def announced(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        path = os.path.join(os.getcwd(), os.fsdecode(arguments[0]))
        if path.startswith(below) and not path.endswith((".out", ".err")):
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            os.write(counted, b".")

    sys.addaudithook(announced)


def _note_memory(note: Path) -> None:
    """Append how much memory this process has, in MiB, five times a second."""
    while True:
        with note.open("a") as file:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            file.write(f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f}\n")
        time.sleep(0.2)


def import_all() -> None:
    """Import every module of the project, and what its modules import late."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, package + "."):
            with contextlib.suppress(ImportError):
                importlib.import_module(found.name)
    for name in (*LIBRARIES, *EXTRAS):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import_all()
    gc.collect()
    gc.freeze()
    children = _Children()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        runs = [
            Run(
                **{
                    **one,
                    "command": tuple(one["command"]),
                    "folder": Path(one["folder"]),
                    "log": Path(one["log"]),
                    "environment": tuple((name, value) for name, value in one["environment"]),
                }
            )
            for one in asked["runs"]
        ]
        ended = children.run(runs, asked["timeout"], _fork)
        print(json.dumps([dataclasses.asdict(one) for one in ended]), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
