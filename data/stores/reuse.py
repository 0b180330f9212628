"""Whether an output that exists already is reused, refused or replaced: one policy for all stages that write a store.

- It does not exist: it is made.
- It was made with the wanted settings: its records of unchanged images are reused.
- It was made with other settings, or it is damaged: it is refused; with --overwrite it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dsa_app.config import setting_changes
from dsa_app.errors import StoreError

from .header import Header, Store

S = TypeVar("S", bound=Store)


@contextmanager
def reusable(
    out: Path,
    opener: Callable[[Path], S],
    wanted: Header,
    remedy: str,
    overwrite: bool = False,
    decisive: Sequence[str] | None = None,
) -> Iterator[S | None]:
    """Open the store at `out` if its records may be reused, and close it at the end; None if a new one is to be made.

    The arguments and the errors are those of `open_reusable`.
    """
    store = open_reusable(out, opener, wanted, remedy, overwrite, decisive)
    if store is None:
        yield None
        return
    with store:
        yield store


def open_reusable(
    out: Path,
    opener: Callable[[Path], S],
    wanted: Header,
    remedy: str,
    overwrite: bool = False,
    decisive: Sequence[str] | None = None,
) -> S | None:
    """Return the store at `out`, open, if its records may be reused; None if a new one is to be made.

    Args:
        opener: opens the store; raises StoreError if it is damaged.
        wanted: the header of the store that this run writes. Its `inputs` are not compared, as single records may
            have changed: the caller compares each record.
        remedy: the last line of the error for a store of other settings.
        overwrite: replace a store that is damaged or was made with other settings.
        decisive: the configuration's keys that decide the bytes of a single record. With `overwrite`, the records of a
            store that agrees in these may be reused, though its other settings differ. All of them by default.

    Raises:
        StoreError: without `overwrite`, for a store that is damaged or was made with other settings.
    """
    if not out.exists():
        return None
    try:
        store = opener(out)
    except StoreError:
        if overwrite:
            return None
        raise
    made_with = store.header
    changed = setting_changes(_settings(made_with), _settings(wanted))
    if not changed:
        return store
    if overwrite and decisive and all(made_with.configuration.get(k) == wanted.configuration.get(k) for k in decisive):
        return store
    store.close()
    if overwrite:
        return None
    raise StoreError(f"{out} was made with other settings: {changed}.\n{remedy}")


def _settings(header: Header) -> dict[str, object]:
    return {"dataset": header.dataset, **header.configuration}
