"""What is done to a command while it works, and what must be so afterwards.

Each function disturbs one stage in a new folder, runs the same command again without disturbance, and returns the
verdict: "" if the command then succeeds and leaves the same files as if nothing had happened, else what went wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .run import Ended, Run
from .stages import Project, Stage, differences, digests, half_written
from .warm import cold

BUSY = ("Another process", "another process", "was replaced during")
OTHERS = (
    "pictures a second",  # of summaries
    "note:",
)


@dataclasses.dataclass
class Case:
    """A case: a stage, disturbed in one way, at moments that follow from the seed."""

    project: Project
    stage: Stage
    kind: str
    number: int
    folder: Path
    carry_out: Callable[..., list[Ended]]

    @property
    def seed(self) -> str:
        """The seed of all that is random in the case."""
        return f"{self.kind}/{self.stage.name}/{self.number}"

    def new_run(self, name: str, **disturbance: Any) -> Run:
        """Return a run of the stage's command in the case's folder."""
        return Run(self.project.command(self.stage), self.folder / "case", self.folder / name, **disturbance)

    def begin(self) -> dict[str, str]:
        """Copy what the stage needs; return the digests of these files."""
        return digests(self.project.case(self.stage, self.folder / "case"))

    def finish(self) -> list[str]:
        """Run the command once more, undisturbed; return what is not as it should be."""
        run = self.new_run("last")
        (ended,) = self.carry_out(run)
        if ended.code:
            return [f"the next run ended with {ended.code}: {_last(run.errors())}"]
        return [*differences(self.stage, self.project, self.folder / "case"), *_left(ended)]


def moment(rng: random.Random, seconds: float) -> float:
    """Return a moment of a run that takes so many seconds: as often early, by the logarithm, as anywhere."""
    if rng.random() < 0.5:
        return seconds * math.exp(rng.uniform(math.log(0.02), math.log(1.1)))
    return seconds * rng.uniform(0.02, 1.1)


def kills(case: Case) -> dict[str, Any]:
    """Kill the command with all its processes, up to three times."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    begun = case.begin()
    faults: list[str] = []
    count = 0
    for number in range(rng.choice((1, 1, 2, 3))):
        run = case.new_run(f"kill{number}", signal=signal.SIGKILL, after=moment(rng, seconds))
        (ended,) = case.carry_out(run)
        faults += half_written(case.stage, case.project, case.folder / "case", begun)
        if not ended.killed:
            faults += [f"ended with {ended.code}: {_last(run.errors())}"] if ended.code else []
            break
        count += 1
    return {"kills": count, "faults": faults + case.finish()}


POINTS = 12  # of a stage, evenly among the changes that it makes


def points(case: Case) -> dict[str, Any]:
    """Kill the command just before one of the changes that it makes to its folder: every state it may leave."""
    total = case.project.changes(case.stage)
    begun = case.begin()
    point = case.number if total <= POINTS else case.number * total // POINTS
    run = case.new_run("point", point=point)
    (ended,) = case.carry_out(run)
    faults = half_written(case.stage, case.project, case.folder / "case", begun)
    if not ended.killed and ended.code:
        faults.append(f"ended with {ended.code}: {_last(run.errors())}")
    return {"kills": int(ended.killed), "point": point, "faults": faults + case.finish()}


def stops(case: Case) -> dict[str, Any]:
    """Ask the command to stop: Ctrl-C to all its processes, or SIGTERM to the first."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    begun = case.begin()
    number, target = rng.choice(((signal.SIGINT, "group"), (signal.SIGTERM, "leader")))
    after = moment(rng, seconds)
    run = case.new_run("stop", signal=number, after=after, target=target)
    (ended,) = case.carry_out(run)
    faults = list(_left(ended))
    if ended.hit and ended.seconds - after > 5 + seconds:
        faults.append(f"took {ended.seconds - after:.1f} s to stop")
    if "Traceback" in run.errors():
        faults.append(f"a traceback: {_last(run.errors())}")
    if ended.hit and ended.code and not _last(run.errors()):
        untouched = digests(case.folder / "case") == begun
        finished = not differences(case.stage, case.project, case.folder / "case")
        if not (ended.code == -number and (untouched or finished)):  # it had not begun, or was leaving
            faults.append("said nothing")
    return {"kills": int(ended.hit and ended.code != 0), "faults": faults + case.finish()}


def worker_kills(case: Case) -> dict[str, Any]:
    """Kill one of the command's workers; it must say so in one line."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    case.begin()
    run = case.new_run("worker", signal=signal.SIGKILL, after=seconds * rng.uniform(0.1, 0.9), target="worker")
    (ended,) = case.carry_out(run)
    faults = list(_left(ended))
    if ended.hit and ended.code not in (0, 2):
        faults.append(f"ended with {ended.code}")
    faults += _one_line(run, ended)
    return {"kills": int(ended.hit), "faults": faults + case.finish()}


def orphans(case: Case) -> dict[str, Any]:
    """Kill the command and not its workers; none may remain."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    case.begin()
    run = case.new_run("orphans", signal=signal.SIGKILL, after=seconds * rng.uniform(0.3, 0.9), target="leader")
    (ended,) = case.carry_out(run)
    return {"kills": int(ended.killed), "faults": [*_left(ended), *case.finish()]}


def rank_kills(case: Case) -> dict[str, Any]:
    """Kill one of the two processes that torchrun started; the other ends, and the next run by two resumes."""
    rng = random.Random(case.seed)
    case = dataclasses.replace(case, carry_out=cold)
    _, seconds = case.project.expected(case.stage)
    begun = case.begin()
    after = seconds * rng.uniform(0.2, 0.95)
    run = case.new_run("rank", signal=signal.SIGKILL, after=after, target="rank")
    (ended,) = case.carry_out(run)
    faults = half_written(case.stage, case.project, case.folder / "case", begun)
    if ended.hit and not ended.code:
        faults.append("torchrun said that all is well")
    if ended.hit and ended.seconds - after > 60:
        faults.append(f"took {ended.seconds - after:.1f} s to end")
    faults += [f"outlived it: {words[:120]}" for words in at_work_in(case.folder / "case")]
    return {"kills": int(ended.hit), "faults": faults + case.finish()}


def at_work_in(folder: Path) -> list[str]:
    """Return the command lines of processes whose working directory is a folder, after ten seconds to end."""
    until = time.monotonic() + 10
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == folder.resolve():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.05)


def several(case: Case) -> dict[str, Any]:
    """Run the command two or four times at once: each succeeds or says that another is at work."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    case.begin()
    count = rng.choice((2, 4))
    late = rng.choice((0.0, 0.01, seconds))
    runs = [case.new_run(f"run{n}", delay=late * rng.random()) for n in range(count)]
    all_ended = case.carry_out(*runs)
    faults = []
    for run, ended in zip(runs, all_ended, strict=True):
        if ended.code and not any(word in run.errors() for word in BUSY):
            faults.append(f"ended with {ended.code}: {_last(run.errors())}")
        faults += _one_line(run, ended)
    if all(ended.code for ended in all_ended):
        faults.append("none succeeded")
    else:
        faults += differences(case.stage, case.project, case.folder / "case")
    return {"kills": sum(ended.code != 0 for ended in all_ended), "faults": faults + case.finish()}


def full_disk(case: Case) -> dict[str, Any]:
    """Leave too little space, on a small file system of its own, or for one file; then give more."""
    rng = random.Random(case.seed)
    case.project.expected(case.stage)
    undisturbed = case.project.undisturbed(case.stage)
    size = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    begun = sum(map(_size, (case.project.template / name for name in case.stage.needs)))
    space = int(math.exp(rng.uniform(math.log(512), math.log(max(4096, 2 * (size - begun))))))
    limited = rng.random() < 0.3 or not can_mount()
    with contextlib.nullcontext() if limited else small_disk(case.folder / "disk", 4 * size + (8 << 20)) as disk:
        folder = case.folder / "disk" if disk else case.folder
        on_disk = dataclasses.replace(case, folder=folder)
        kept = on_disk.begin()
        filler = folder / "filler"
        if disk:
            _fill(filler, space)
        run = on_disk.new_run("full", file_limit=None if disk else space)
        run = dataclasses.replace(run, log=case.folder / "full")
        (ended,) = case.carry_out(run)
        faults = half_written(case.stage, case.project, folder / "case", kept)
        if ended.code not in (0, 2):
            faults.append(f"ended with {ended.code}: {_last(run.errors())}")
        faults += _one_line(run, ended)
        if ended.code and "/" not in _last(run.errors()) and "." not in _last(run.errors()).partition(":")[2]:
            faults.append(f"names no file: {_last(run.errors())}")
        filler.unlink(missing_ok=True)
        faults += on_disk.finish()
    return {"kills": int(ended.code != 0), "space": space, "limited": limited, "faults": faults}


def read_only(case: Case) -> dict[str, Any]:
    """Let the command work in a file system that is read-only; then make it writable."""
    with small_disk(case.folder / "disk", 64 << 20) as disk:
        on_disk = dataclasses.replace(case, folder=disk)
        on_disk.begin()
        _mount("-o", "remount,ro", str(disk))
        run = dataclasses.replace(on_disk.new_run("read-only"), log=case.folder / "read-only")
        (ended,) = case.carry_out(run)
        faults = _one_line(run, ended)
        if ended.code != 2:
            faults.append(f"ended with {ended.code}: {_last(run.errors())}")
        _mount("-o", "remount,rw", str(disk))
        faults += on_disk.finish()
    return {"kills": int(ended.code != 0), "faults": faults}


def clock(case: Case) -> dict[str, Any]:
    """Let the time of day jump while the command works, and while it is killed and run again."""
    rng = random.Random(case.seed)
    _, seconds = case.project.expected(case.stage)
    case.begin()
    jumps = rng.randrange(2**32)
    killed = case.new_run("killed", signal=signal.SIGKILL, after=moment(rng, seconds), clock=jumps)
    (first,) = case.carry_out(killed)
    run = case.new_run("clock", clock=jumps + 1)
    (ended,) = case.carry_out(run)
    faults = [f"ended with {ended.code}: {_last(run.errors())}"] if ended.code else []
    faults += differences(case.stage, case.project, case.folder / "case") if not ended.code else []
    return {"kills": int(first.killed), "faults": faults + case.finish()}


KINDS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "kill": kills,
    "point": points,
    "stop": stops,
    "worker": worker_kills,
    "orphans": orphans,
    "rank": rank_kills,
    "several": several,
    "full": full_disk,
    "read-only": read_only,
    "clock": clock,
}


def applies(kind: str, stage: Stage) -> bool:
    """Tell whether a stage can be disturbed in this way."""
    if kind == "rank" or stage.ranks:
        return kind == "rank" and stage.ranks
    if kind in ("worker", "orphans"):
        return stage.workers
    if kind == "point":
        return not stage.workers
    return kind != "read-only" or can_mount()


def can_mount() -> bool:
    """Tell whether this process may mount file systems."""
    if os.geteuid() or not shutil.which("mount"):
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """Mount a file system of `size` bytes, in memory, while the context lasts."""
    place.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "faults", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _fill(filler: Path, space: int) -> None:
    """Write a file that leaves `space` bytes."""
    free = os.statvfs(filler.parent)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - space))


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) if path.is_dir() else path.stat().st_size


def _last(errors: str) -> str:
    lines = errors.strip().splitlines()
    return lines[-1][:300] if lines else ""


def _left(ended: Ended) -> list[str]:
    faults = [f"outlived it: {words[:120]}" for words in ended.left]
    return [*faults, "did not end"] if ended.late else faults


def _one_line(run: Run, ended: Ended) -> list[str]:
    """Return what is wrong with how an error was printed: a traceback, or more or less than one line of it."""
    errors = run.errors()
    if "Traceback" in errors:
        return [f"a traceback: {_last(errors)}"]
    told = [line for line in errors.splitlines() if line.startswith("error:")]
    if ended.code == 2 and len(told) != 1:
        return [f"{len(told)} lines of error: {_last(errors)}"]
    if ended.code == 2 and _last(errors) != told[0][:300] and "\n".join(told) not in errors:
        return [f"more after the error: {_last(errors)}"]
    return []
