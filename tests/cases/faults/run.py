"""One run of a command, and how it is disturbed."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Literal

Target = Literal["group", "leader", "worker", "rank"]
ENTRIES = {"dsa-data": "data", "densepose-extract": "extract", "dsap": "dsap", "dsa-train": "train"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A command, where it runs, and what happens to it.

    Attributes:
        command: the program and its arguments.
        folder: its working directory.
        log: its output is written to `<log>.out` and `<log>.err`.
        delay: seconds until it starts.
        signal: sent `after` so many seconds from its start; 0 for none.
        target: who gets the signal: all of its processes, the first alone, one of its joblib workers, or of
            the processes that torchrun started.
        file_limit: the largest size of a file that it may write, in bytes (RLIMIT_FSIZE); None for no limit.
        point: the run is killed just before the change of its folder with this number, from 0; None for no such kill.
        clock: seed of a clock that jumps by up to a year in either direction; None for the true one.
    """

    command: tuple[str, ...]
    folder: Path
    log: Path
    delay: float = 0.0
    signal: int = 0
    after: float = 0.0
    target: Target = "group"
    file_limit: int | None = None
    clock: int | None = None
    point: int | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def changes(self) -> int:
        """Return how many changes of its folder a run with a `point` has made."""
        return len(self.log.with_name(self.log.name + ".changes").read_text())

    def errors(self) -> str:
        """Return what the run wrote to its standard error."""
        return self.log.with_name(self.log.name + ".err").read_text(encoding="utf-8", errors="replace")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code; of a run that a signal ended, minus its number.
        seconds: from its start to its end.
        hit: the signal was sent before the run ended.
        left: the command lines of processes that outlived it by more than the time allowed.
        late: it had to be killed, because it did not end in time.
    """

    code: int
    seconds: float
    hit: bool = False
    left: tuple[str, ...] = ()
    late: bool = False

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended the run."""
        return self.code == -signal.SIGKILL
