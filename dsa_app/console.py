"""The command line: one-line errors with exit code 2, common options, and progress on a terminal or in a log."""

from __future__ import annotations

import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any, TypeVar

import click
from tqdm import tqdm

from .config import read_settings
from .errors import ConfigError, DsaError
from .interrupt import MESSAGE, exit_code

T = TypeVar("T")
REMEDIES = {
    errno.ENOSPC: "No space is left on the device. Free some space and run again; finished work is kept.",
    errno.EDQUOT: "The disk quota is used up. Free some space and run again; finished work is kept.",
    errno.EACCES: "Permission denied. Change its permissions, or use another path.",
    errno.EROFS: "The file system is read-only. Use another path.",
    errno.EPERM: "Not permitted. Change its permissions, or use another path.",
    errno.EFBIG: "The file grows too large. Raise the limit (ulimit -f) and run again; finished work is kept.",
}


class Commands(click.Group):
    """A group of commands whose users see an error in one line, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with 2 for an error, with 128 + its number for a signal."""
        try:
            return super().invoke(ctx)
        except (SystemExit, click.exceptions.Exit):
            raise
        except BaseException as error:
            code = exit_code(error)
            if code is not None:
                click.echo(MESSAGE, err=True)
                raise SystemExit(code) from None
            message = message_of(error)
            if message is None:
                raise
        fail(message)


def message_of(error: BaseException) -> str | None:
    """Return what a user is told of an error; None for one that is not the user's."""
    if isinstance(error, DsaError):
        return str(error)
    if isinstance(error, BrokenExecutor):
        return (
            "A worker was killed, probably for lack of memory. Use fewer --jobs and run again; finished work is kept."
        )
    if isinstance(error, OSError) and error.errno not in (None, errno.EPIPE):  # of a file; click handles a closed pipe
        remedy = REMEDIES.get(error.errno or 0, f"{error.strerror}. Use another path.")
        return f"{error.filename2 or error.filename or 'Writing'}: {remedy}"
    return None


def fail(message: str) -> None:
    """Print the error and leave with exit code 2."""
    click.echo(f"error: {message}", err=True)
    sys.stdout.flush()
    raise SystemExit(2)


def with_settings(
    default: str | Callable[[dict[str, Any]], str | None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --dataset, --params, --experiment and --set; it receives their values as `settings`.

    Args:
        default: the dataset where neither the option nor a params file names one, or a function that returns it
            from the command's other options.
    """
    options = [
        click.option("--dataset", help="Name of the dataset, as in `dsa-data list`."),
        click.option("--params", type=click.Path(path_type=Path), help="A params.yaml with overrides."),
        click.option("--experiment", help="A file in experiments/, as in table3/dsa-reid."),
        click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One override."),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def joined(
            dataset: str | None, params: Path | None, experiment: str | None, assignments: Iterable[str], **others: Any
        ) -> Any:
            implied = default(others) if callable(default) else default
            named = dataset or (None if params else implied)
            return command(settings=read_settings(params, named, experiment, assignments), **others)

        for option in reversed(options):
            joined = option(joined)
        return joined

    return decorate


def jobs(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option --jobs, the number of workers; negative numbers mean what they do in joblib."""
    return click.option("--jobs", default=1, show_default=True, callback=_not_zero, help=text)


def _not_zero(context: click.Context, option: click.Parameter, count: int) -> int:
    if count == 0:
        raise ConfigError("--jobs must not be 0. Use the number of workers, or -1 for one per core.")
    return count


def progress(items: Iterable[T], total: int, label: str, unit: str = "images", each: int = 1) -> Iterator[T]:
    """Yield `items` under a progress bar, or with a plain line every ten seconds where there is no terminal.

    Args:
        total: number of units in all.
        each: units in an item; with each=0 an item has `len(item)` units.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=f" {unit}", smoothing=0.1) as bar:
            for item in items:
                yield item
                bar.update(each or len(item))  # type: ignore[arg-type]
        return
    start = reported = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += each or len(item)  # type: ignore[arg-type]
        now = time.monotonic()
        if now - reported >= 10:
            reported = now
            rate = done / (now - start)
            left = (total - done) / rate
            click.echo(f"{label}: {done}/{total} {unit}, {rate:.0f} a second, {left:.0f} s left", err=True)


def artifacts(dataset: str) -> Path:
    """Return the folder of a dataset's outputs: artifacts/<dataset>, or <dataset> in $DSA_ARTIFACTS if that is set."""
    return Path(os.environ.get("DSA_ARTIFACTS", "artifacts")) / dataset
