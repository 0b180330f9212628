"""The workers: a joblib backend by name, on this machine or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from dsa_app.config import suggestion
from dsa_app.errors import ConfigError
from dsa_app.parallel import tied
from dsa_reid.extras import install_command

from .config import BACKENDS


@contextmanager
def workers(jobs: int = 1, backend: str = "loky", scheduler: str | None = None) -> Iterator[None]:
    """Let `joblib.Parallel` use these workers inside the context.

    Args:
        jobs: their number, negative as joblib counts; a Dask cluster has its own number.
        backend: joblib's name of their kind.
        scheduler: for "dask", the address of the scheduler.

    Raises:
        ConfigError: if the backend is unknown or the scheduler does not answer.
    """
    if jobs == 0:
        raise ConfigError("--jobs must not be 0. Use the number of workers, or -1 for every core.")
    if (backend == "dask") != bool(scheduler):
        raise ConfigError("--backend dask and --scheduler ADDRESS need each other. Use both, or neither.")
    if backend not in BACKENDS:
        raise ConfigError(f"Unknown backend {backend!r}.{suggestion(backend, BACKENDS)}")
    if backend == "dask":
        with _dask(str(scheduler)):
            yield
        return
    with joblib.parallel_config(backend=backend, n_jobs=jobs, **(tied() if backend == "loky" else {})):
        yield


@contextmanager
def _dask(scheduler: str) -> Iterator[None]:
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(f"--backend dask needs Dask. Install it: {install_command('dask')}") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise ConfigError(f"No Dask scheduler answers at {scheduler} ({error}). Start one: dask scheduler.") from None
    with client, joblib.parallel_config(backend="dask"):
        yield
