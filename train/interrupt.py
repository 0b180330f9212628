"""Stopping in good order: SIGTERM and SIGINT let the step finish."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from dsa_app.errors import TrainingError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(TrainingError):
    """A run that was asked to stop, and has saved what it needs to go on.

    Args:
        number: of the signal; a command ends with 128 + number, as a shell expects.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interrupts:
    """A context that notes the first signal instead of dying of it; the second works as it always does."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
