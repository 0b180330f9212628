"""What SIGINT (Ctrl-C) and SIGTERM do to a command: one line, and exit code 128 + the signal's number.

With the standard library alone, so that `entry` can import it before anything else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MESSAGE = "Interrupted."
RESUME = "Interrupted. Run the same command to resume."  # of a command that keeps its finished work


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop; `with` and `finally` blocks clean up as it passes.

    Args:
        number: of the signal.

    Attributes:
        line: what the command prints; None for the line of an interrupt.
    """

    last: int | None = (
        None  # the number of the last signal: a library in between may turn this into an error of its own
    )

    def __init__(self, number: int) -> None:
        super().__init__(MESSAGE)
        self.number = number
        self.line: str | None = None


def exit_at_once() -> None:
    """From now on a signal prints the line and ends the process, whatever it is doing: before there is any work."""
    _handle(_exit)


def raise_interrupted() -> None:
    """From now on a signal raises Interrupted in the main thread."""
    Interrupted.last = None
    _handle(_raise)


@contextmanager
def at_work() -> Iterator[None]:
    """Within, a signal raises Interrupted, and after it ends the process silently; if `exit_at_once` was called before.

    Click turns what is raised while it parses the arguments into an error of its own.
    """
    if _exit not in map(signal.getsignal, SIGNALS):
        yield
        return
    raise_interrupted()
    try:
        yield
    finally:
        end_silently()


def end_silently() -> None:
    """From now on a signal ends the process as if Python were not there: after the work."""
    _handle(signal.SIG_DFL)


def ignore() -> None:
    """From now on no signal keeps an error from being printed: torchrun sends SIGTERM as soon as one process has ended.

    It waits half a minute before it kills.
    """
    if threading.current_thread() is threading.main_thread():
        _handle(signal.SIG_IGN)


def exit_code(error: BaseException) -> int | None:
    """Return the exit code if an error is, or comes from, an interrupt; None if it has another cause."""
    if isinstance(error, Interrupted):
        return 128 + error.number
    if Interrupted.last is not None:
        return 128 + Interrupted.last
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


def _handle(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell starts commands in the background
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Let no signal raise Interrupted within: for functions that a library in C calls, which may not fail.

    HDF5, for one, ends the process if a write fails while it closes a file.
    """
    global _deferred
    if threading.current_thread() is not threading.main_thread():  # signals are handled in the main thread alone
        yield
        return
    _deferred += 1
    try:
        yield
    finally:
        _deferred -= 1


_deferred = 0  # how many `deferred` the main thread is within


def _raise(number: int, frame: FrameType | None) -> None:
    Interrupted.last = number
    if _deferred or _is_finalizer(frame):  # Python prints what is raised in a finalizer, and continues
        again = threading.Timer(0.01, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    raise Interrupted(number)


def _is_finalizer(frame: FrameType | None) -> bool:
    """Return whether a frame is part of a destructor or of the callback of a weak reference."""
    while frame is not None:
        code = frame.f_code
        if (
            code.co_name == "__del__"
            or code.co_filename == weakref.__file__
            or code.co_qualname.endswith("lock.<locals>.cb")
        ):
            return True
        frame = frame.f_back
    return False


def _exit(number: int, _: FrameType | None) -> NoReturn:
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{MESSAGE}\n".encode())
    os._exit(128 + number)
