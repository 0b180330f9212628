"""SIGTERM and SIGINT let the current step finish; the run is then saved and stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from dsa_app.errors import TrainingError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(TrainingError):
    """A run that was interrupted by a signal and has saved its checkpoint.

    Args:
        number: of the signal; a command exits with 128 + number, as a shell expects.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Interrupts:
    """A context that records the first signal in `number` instead of ending the process.

    The second signal works as without it.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread set handlers
            self._before = {number: signal.signal(number, self._record) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore_handlers()

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
