"""Damaged files given to every reader: each must be read, or refused with an error of this project.

Readers call libraries in C that may crash, hang or ask for all memory. So a child process reads; when it dies, hangs
or takes too much, that is a finding, and another child reads the next file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import mutate
from .readers import MIB, SLOW, Reader, own_errors
from .record import commit
from .warm import import_all

SECONDS = 10.0  # that reading one file may take
BASE, FACTOR = 64 * MIB, 64  # memory that reading one file may take: so many bytes, and so many times the file's size
SLOWER = 50  # times fewer files for a reader in `SLOW`
BATCH = 200  # files that one child reads


@dataclasses.dataclass(frozen=True)
class Finding:
    """A file that was neither read nor refused.

    Attributes:
        number: of the try; with the reader's name it is the seed of the damage.
        what: how reading it ended.
        where: the innermost place of this project, and the innermost of all.
    """

    reader: str
    number: int
    file: str
    what: str
    where: str

    @property
    def kind(self) -> str:
        """What tells this finding from those of another fault."""
        return f"{self.reader}: {self.what.split(':')[0]} at {self.where}"


def damaged(reader: Reader, number: int) -> tuple[str, bytes]:
    """Return name and bytes of the damaged file of a try."""
    rng = random.Random(f"{reader.name}/{number}")
    name = rng.choice(sorted(reader.seeds))
    data = reader.seeds[name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = once(reader, data, rng)
    return name, data


def once(reader: Reader, data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file, damaged once in one of the ways that suit it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return rng.choice(reader.all_mutators)(data, rng)
        except Exception:  # what was damaged before has no structure left
            return mutate.damage(data, rng)


def place(reader: Reader, name: str, data: bytes, folder: Path) -> Path:
    """Write a file with what belongs around it to a new folder; return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    if reader.beside:
        shutil.copytree(reader.beside, folder)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def outcome(reader: Reader, path: Path) -> tuple[str, str]:
    """Read a file; return how it ended, and where: "read" and "refused" are right."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except own_errors() as error:
        if _memory_ran_out(error):
            return "memory: refused only when there was none left", _where(error)
        message = str(error)
        if len(message) > 2000:
            return f"message of {len(message)} characters", _where(error)
        if "\n\n" in message or message.count("\n") > 2:
            return f"message of {message.count(chr(10)) + 1} lines", _where(error)
        return "refused", ""
    except MemoryError as error:
        return "memory: MemoryError", _where(error)
    except OSError as error:
        if error.filename and str(path.parent) in str(error.filename):
            return "refused", ""  # a command prints it with the name of the file
        return f"{type(error).__name__}: {str(error)[:200]}", _where(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}", _where(error)
    return "read", ""


def _memory_ran_out(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    inner = frames[-1]
    ours = [frame for frame in frames if "site-packages" not in frame.filename and "/tests/" not in frame.filename]
    own = next((frame for frame in reversed(ours) if "/lib/python" not in frame.filename), inner)
    return f"{Path(own.filename).name}:{own.name} < {Path(inner.filename).name}:{inner.name}"


Make = Callable[[Reader, int], tuple[str, bytes]]


def run(
    reader: Reader, numbers: Iterable[int], folder: Path, make: Make = damaged
) -> tuple[Counter[str], list[Finding]]:
    """Give a reader the damaged files of some numbers; return how many were read and refused, and what went wrong.

    Args:
        make: returns name and bytes of the file of a number.
    """
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    waiting = list(numbers)
    while waiting:
        batch = waiting[:BATCH]
        done = _child(reader, batch, folder, make, counts, findings)
        waiting = waiting[done:]
    return counts, findings


def _child(
    reader: Reader, batch: list[int], folder: Path, make: Make, counts: Counter[str], findings: list[Finding]
) -> int:
    """Let a child read the files of a batch; return how many of them are done, one that ended it included."""
    receive, send = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(receive)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):  # libraries in C write what they think
                os.dup2(null, descriptor)
            _read_all(reader, batch, folder, make, send)
            code = 0
        finally:
            os._exit(code)
    os.close(send)
    done = 0
    with os.fdopen(receive, "rb") as answers:
        while answer := _answer(answers):
            what, where = answer
            _count(reader, batch[done], make, what, where, counts, findings)
            done += 1
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if done < len(batch):
        names = {-signal.SIGALRM: f"took more than {SECONDS:.0f} s", -signal.SIGKILL: "killed"}
        what = names.get(code, f"crash: {signal.Signals(-code).name}" if code < 0 else f"exit: {code}")
        _count(reader, batch[done], make, what, "", counts, findings)
        done += 1
    return done


def record(
    readers: Iterable[Reader], count: int, lines: Path, tell: Callable[[Any], None] = lambda result: None
) -> dict[str, Any]:
    """Give every reader so many damaged files, and note each reader that is done; return counts and findings."""
    known = {}
    if lines.exists():
        known = {result["reader"]: result for result in map(json.loads, lines.read_text().splitlines())}
    results = []
    import_all()  # once, and not in every child
    for reader in readers:
        if reader.name not in known:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="readers") as folder:
                numbers = range(count // SLOWER if reader.name in SLOW else count)
                counts, findings = run(reader, numbers, Path(folder) / "try")
            known[reader.name] = {
                "reader": reader.name,
                "commit": commit(),
                "seconds": round(time.monotonic() - begun, 1),
                **{name: counts[name] for name in ("read", "refused", "wrong")},
                "findings": [dataclasses.asdict(finding) for finding in findings[:20]],
            }
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[reader.name]) + "\n")
            tell(known[reader.name])
        results.append(known[reader.name])
    total = {name: sum(result[name] for result in results) for name in ("read", "refused", "wrong")}
    return {
        "files": sum(total.values()),
        **total,
        "limits": {"seconds": SECONDS, "bytes": BASE, "times_the_file": FACTOR},
        "seed": "the reader's name and the number of the file",
        "commits": sorted({result["commit"] for result in results}),
        "readers": results,
    }


def _answer(answers: Any) -> tuple[str, str] | None:
    head = answers.read(4)
    if len(head) < 4:
        return None
    what, _, where = answers.read(struct.unpack("<I", head)[0]).decode("utf-8", "replace").partition("\0")
    return what, where


def _count(
    reader: Reader, number: int, make: Make, what: str, where: str, counts: Counter[str], findings: list[Finding]
) -> None:
    if what in ("read", "refused"):
        counts[what] += 1
        return
    counts["wrong"] += 1
    findings.append(Finding(reader.name, number, make(reader, number)[0], what, where))


def _read_all(reader: Reader, batch: list[int], folder: Path, make: Make, send: int) -> None:
    """Read the files of a batch, each within its limits of time and memory, and send how each ended."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.fsync = lambda descriptor: None  # on a busy disk it takes longer than all the rest
    for name, data in reader.seeds.items():  # what is imported for the first file is no memory that a file takes
        outcome(reader, place(reader, name, data, folder))
    for number in batch:
        name, data = make(reader, number)
        path = place(reader, name, data, folder)
        allowed = BASE + FACTOR * len(data) + reader.memory
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        with limited(allowed) as measured:
            begun = time.monotonic()
            what, where = outcome(reader, path)
            seconds = time.monotonic() - begun
        signal.setitimer(signal.ITIMER_REAL, 0)
        if what in ("read", "refused") and measured[0] > allowed:
            what = f"memory: {measured[0] / MIB:.0f} MiB for a file of {len(data)} bytes"
        if what in ("read", "refused") and seconds > SECONDS:
            what = f"took {seconds:.1f} s"
        answer = f"{what}\0{where}".encode("utf-8", "replace")
        os.write(send, struct.pack("<I", len(answer)) + answer)


@contextlib.contextmanager
def limited(allowed: int) -> Any:
    """Limit the address space to what there is, a GiB, and `allowed` bytes more; measure the memory that was used."""
    pages = os.sysconf("SC_PAGE_SIZE")
    space, resident = (int(number) * pages for number in Path("/proc/self/statm").read_text().split()[:2])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (space + allowed + (1 << 30), hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    measured = [0]
    try:
        yield measured
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        measured[0] = max(0, 1024 * int(peak.split()[1]) - resident)
