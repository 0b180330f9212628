"""Whether an output that exists already is reused, refused or replaced: one policy for all that write a store.

- It does not exist: it is made.
- It was made with the wanted settings: its records of unchanged images are reused. Features are reused as a whole, if
  they are of the same images.
- It was made with other settings, or it is damaged: it is refused; with --overwrite it is replaced, which is reported
  before the work begins.
- It is open for writing in another program, or its writer was killed: it is refused, also with --overwrite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import click

from dsa_app.config import setting_changes
from dsa_app.errors import StoreError

from .header import Header, OtherFormatError


class Output(Protocol):
    """An open store: its header is compared with the wanted one."""

    @property
    def header(self) -> Header:
        """How the store was made."""

    def close(self) -> None:
        """Close its file."""


S = TypeVar("S", bound=Output)
AGAIN = "Everything is rebuilt (--overwrite)."


@contextmanager
def reusable(
    out: Path,
    opener: Callable[[Path], S],
    wanted: Header,
    remedy: str,
    overwrite: bool = False,
    decisive: Sequence[str] | None = None,
    report: bool = True,
) -> Iterator[S | None]:
    """Open the store at `out` if its records may be reused, and close it at the end; None if a new one is to be made.

    The arguments and the errors are those of `open_reusable`.
    """
    store = open_reusable(out, opener, wanted, remedy, overwrite, decisive, report)
    if store is None:
        yield None
        return
    with closing(store):
        yield store


def open_reusable(
    out: Path,
    opener: Callable[[Path], S],
    wanted: Header,
    remedy: str,
    overwrite: bool = False,
    decisive: Sequence[str] | None = None,
    report: bool = True,
    whole: bool = False,
    again: str = AGAIN,
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
        report: print, with `overwrite`, that a store is replaced, and why; False where another process prints it.
        whole: the store is reused as a whole or not at all, so that `inputs` are compared too.
        again: what happens to a store that is replaced, as the sentence that is printed.

    Raises:
        StoreError: without `overwrite`, for a store that is damaged or was made with other settings; also with it, for
            an HDF5 file that is no store of this kind.
        BusyError: for a store that is open for writing elsewhere, or whose writer was killed.
    """
    if not out.exists():
        return None
    try:
        store = opener(out)
    except OtherFormatError:
        raise  # not ours to replace
    except StoreError as error:
        if not overwrite:
            raise
        if report:
            fault = str(error).removesuffix(str(getattr(opener, "remedy", ""))).rstrip(" .")
            click.echo(f"note: {fault}. {again}", err=True)
        return None
    made_with = store.header
    changed = setting_changes(_settings(made_with), _settings(wanted))
    fault = f"was made with other settings: {changed}" if changed else ""
    if whole and not changed and made_with.inputs != wanted.inputs:
        fault = "was made from other images"
    if not fault:
        return store
    if not overwrite:
        store.close()
        raise StoreError(f"{out} {fault}.\n{remedy}")
    reuse = decisive and all(made_with.configuration.get(key) == wanted.configuration.get(key) for key in decisive)
    if report:
        consequence = "Only the records that this changes are rebuilt (--overwrite)." if reuse else again
        click.echo(f"note: {out} {fault}. {consequence}", err=True)
    if reuse:
        return store
    store.close()
    return None


def _settings(header: Header) -> dict[str, object]:
    return {"dataset": header.dataset, **header.configuration}
