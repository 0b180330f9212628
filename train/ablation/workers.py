"""The worker processes of an ablation, which a signal to the command ends with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from joblib.externals.loky import get_reusable_executor

from ..stopping import StoppedError


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """End the workers on SIGTERM as on SIGINT.

    Raises StoppedError with the number of the signal.
    """
    caught = [signal.SIGINT]

    def stop(number: int, _: object) -> None:
        caught.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, StoppedError) as stopped:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
        number = stopped.number if isinstance(stopped, StoppedError) else int(caught[-1])
        message = "Interrupted. Finished trainings are kept. Run the same command to resume."
        raise StoppedError(message, number) from None
    finally:
        signal.signal(signal.SIGTERM, before)
