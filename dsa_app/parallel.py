"""Worker processes of joblib that end with the command that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from typing import Any

import joblib
from joblib.externals.loky.backend import resource_tracker as loky_tracker

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that this process gets when its parent dies


def carry_out(tasks: Iterable[Any], jobs: int, ordered: bool = True) -> Iterator[Any]:
    """Yield the results of tasks made with `joblib.delayed`, carried out by `jobs` worker processes.

    Args:
        jobs: 1 for this process alone; negative numbers mean what they do in joblib.
        ordered: in the order of the tasks, not in that of their completion.
    """
    order = "generator" if ordered else "generator_unordered"
    settings = tied() if jobs != 1 else {}
    return dispatch(joblib.Parallel(n_jobs=jobs, return_as=order, **settings), tasks)


def tied() -> dict[str, Any]:
    """Return the settings of joblib's backend "loky" by which workers end when this process does.

    Without them a worker whose command was killed waits five minutes for work.
    """
    return {"initializer": _end_with, "initargs": (os.getpid(),)}


def dispatch(parallel: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    """Yield the results of `parallel(tasks)`, of a `joblib.Parallel` that returns a generator.

    Its workers do not get SIGINT, which a terminal sends to every process of a command: this process ends them. They
    inherit the mask of signals from the moment of their start.
    """
    for tracker in (resource_tracker, loky_tracker):  # their start would undo the mask
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        results = parallel(tasks)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    yield from results


def _end_with(parent: int) -> None:
    """Have the kernel end this worker when its parent ends."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # of Linux
    if prctl is None:
        return
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)
