"""The command line: one-line errors with exit code 2, common options, and progress on a terminal or in a log."""

from __future__ import annotations

import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import click
from tqdm import tqdm

from . import remedies
from .config import PARAMS, Settings, experiment_names, left_out_sections, read_settings
from .errors import ConfigError, DsaError
from .file_names import check_place
from .interrupt import MESSAGE, RESUME, Interrupted, at_work, exit_code
from .rate import Pace, Rate
from .wording import duration, shortened, shown

T = TypeVar("T")
json_alone = click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
MOST_JOBS = 4096  # more processes than any machine has cores are a slip
LONGEST = 300  # characters of a file's name that an error shows
PACKAGE = "dsa-reid"  # as it is installed
ARGUMENTS = f"{__name__}.arguments"  # key of a command's arguments in the context of its group
REMEDIES = {
    errno.ENOSPC: "No space is left on the device. Free some space and run again; finished work is kept.",
    errno.EDQUOT: "The disk quota is used up. Free some space and run again; finished work is kept.",
    errno.EACCES: "Permission denied. Change its permissions, or use another path.",
    errno.EROFS: "The file system is read-only. Use another path.",
    errno.EPERM: "Not permitted. Change its permissions, or use another path.",
    errno.EFBIG: "The file grows too large. Raise the limit (ulimit -f) and run again; finished work is kept.",
}


class Resumable(click.Command):
    """A command that keeps its finished work: after an interrupt, the same command resumes with what is missing."""


class Commands(click.Group):
    """A group of commands whose users see an error in one line, never a traceback.

    The group has --version, and each of its commands --quiet.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        click.version_option(package_name=PACKAGE, message="%(prog)s %(version)s", help="Print the version.")(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command, which gets the option --quiet."""
        if not any("--quiet" in option.opts for option in cmd.params):
            cmd.params.append(
                click.Option(
                    ["--quiet"], is_flag=True, expose_value=False, callback=_set_quiet, help="Print no progress."
                )
            )
        super().add_command(cmd, name)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the options of the group itself."""
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise  # which prints the help
            message = usage_message(error)
        fail(message)
        raise AssertionError("fail() does not return")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; what it was given is remembered for the remedies."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:  # as while the shell completes a word
            options, arguments = _as_given(command, rest)
            if ("--dataset", "") in options:
                raise ConfigError("--dataset is empty. Give a name, as --dataset market1501.")
            remedies.remember(options, f"{self.name} {name}", arguments)
            ctx.meta[ARGUMENTS] = list(rest)  # the parser empties the list
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with 2 for an error, with 128 + its number for a signal."""
        with at_work():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SystemExit, click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
            raise
        except BaseException as error:
            code = exit_code(error)
            if code is not None:
                click.echo(self._interrupt_line(ctx, error), err=True)
                raise SystemExit(code) from None
            message = message_of(error)
            if message is None:
                raise
        fail(message)

    def _interrupt_line(self, ctx: click.Context, error: BaseException) -> str:
        """Return the line to print about an interrupt of the running command."""
        if isinstance(error, Interrupted) and error.line:
            return error.line
        command = self.get_command(ctx, ctx.invoked_subcommand) if ctx.invoked_subcommand else None
        return RESUME if isinstance(command, Resumable) else MESSAGE


def _as_given(command: click.Command, words: list[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Return the options, pairs of name and value, and the arguments that the user gave a command; none is checked."""
    lenient = click.Context(command, resilient_parsing=True)
    values, arguments, _ = command.make_parser(lenient).parse_args(list(words))
    options: list[tuple[str, str | None]] = []
    for parameter in command.params:
        value = values.get(str(parameter.name))
        if not isinstance(parameter, click.Option) or value is None:
            continue
        if parameter.is_flag:
            options.append((parameter.opts[0], None))
        else:
            options += [(parameter.opts[0], str(one)) for one in (value if parameter.multiple else [value])]
    named = [values.get(str(one.name)) for one in command.params if isinstance(one, click.Argument)]
    positional = [word for one in named for word in (one if isinstance(one, tuple | list) else [one]) if word]
    return options, [str(word) for word in positional if isinstance(word, str)] or arguments


def message_of(error: BaseException) -> str | None:
    """Return the message of an error; None for one that is not the user's."""
    if isinstance(error, DsaError):
        return str(error)
    if isinstance(error, click.UsageError):
        return usage_message(error)
    if isinstance(error, BrokenExecutor):
        return (
            "A worker was killed, probably for lack of memory. Use fewer --jobs and run again; finished work is kept."
        )
    if isinstance(error, OSError) and error.errno not in (None, errno.EPIPE):  # of a file; click handles a closed pipe
        remedy = REMEDIES.get(error.errno or 0, f"{error.strerror}. Use another path.")
        return f"{_name(error)}: {remedy}"
    return None


def usage_message(error: click.UsageError) -> str:
    """Return click's error for options or arguments that do not fit a command, in one line."""
    message = " ".join(error.format_message().split())
    command = f" See {error.ctx.command_path} --help." if error.ctx else ""
    return message + ("" if message.endswith((".", "?")) else ".") + _json_remedy(error) + command


def _json_remedy(error: click.UsageError) -> str:
    """Return what to do where a file follows --json, which is a flag; empty where none does."""
    if error.ctx is None or "unexpected extra argument" not in error.format_message():
        return ""
    words = error.ctx.meta.get(ARGUMENTS, [])
    followed = any(word == "--json" and not after.startswith("-") for word, after in pairwise(words))
    return " --json takes no file. Write what it prints to one: --json > FILE." if followed else ""


def _name(error: OSError) -> str:
    """Return the file of an error, shortened in the middle where the system found its name too long."""
    name = error.filename2 or error.filename or remedies.output() or "Writing"
    name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return shortened(name, LONGEST)


def fail(message: str) -> None:
    """Print the error and leave with exit code 2."""
    click.echo(f"error: {remedies.complete(message)}", err=True)
    sys.stdout.flush()
    raise SystemExit(2)


_quiet = False  # whether the running command has --quiet


def _set_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    """Print no progress until the command has ended."""
    global _quiet

    def end() -> None:
        global _quiet
        _quiet = False

    if value:
        _quiet = True
        context.call_on_close(end)


def status(message: str) -> None:
    """Print a line about what the command does now, to the standard error; nothing with --quiet."""
    if not _quiet:
        click.echo(message, err=True)


def with_settings(
    implied: Callable[[dict[str, Any]], str | None] | None = None, needs_dataset: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --dataset, --params, --experiment and --set; it receives their values as `settings`.

    Without --dataset and --params, a params.yaml in the working directory is used, as the pipeline's stage would use
    it, and a line says so. With --dataset alone the values are the paper's.

    Args:
        implied: a function that returns the name of a dataset which follows from the command's other options.
        needs_dataset: whether a command without any dataset is refused.
    """
    options = [
        click.option("--dataset", shell_complete=datasets, help="Name of the dataset, as in `dsa-data list`."),
        click.option("--params", type=click.Path(path_type=Path), help="A params.yaml with overrides."),
        click.option("--experiment", shell_complete=experiments, help="A file in experiments/, as in table3/dsa-reid."),
        click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One override."),
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def joined(
            dataset: str | None, params: Path | None, experiment: str | None, assignments: Iterable[str], **others: Any
        ) -> Any:
            named = implied(others) if implied and dataset is None and params is None else dataset
            settings = _settings(named, params, experiment, assignments, needs_dataset)
            return command(settings=settings, **others)

        for option in reversed(options):
            joined = option(joined)
        return joined

    return decorate


def _settings(
    dataset: str | None, params: Path | None, experiment: str | None, assignments: Iterable[str], needs_dataset: bool
) -> Settings:
    if dataset is None and params is None and PARAMS.is_file():
        settings = read_settings(PARAMS, None, experiment, assignments, needs_dataset)
        status(f"{PARAMS}: dataset {settings.dataset}, experiment {settings.experiment or 'paper'}")
        _print_unused_sections(PARAMS, experiment)
        remedies.remember_dataset(settings.dataset, of_params=True)
        return settings
    settings = read_settings(params, dataset, experiment, assignments, needs_dataset)
    if params is not None:
        _print_unused_sections(params, experiment)
    remedies.remember_dataset(settings.dataset, of_params=False)
    return settings


def _print_unused_sections(params: Path, experiment: str | None) -> None:
    """Print which sections of a params file are not used, where --experiment has settings of its own."""
    if experiment and (sections := left_out_sections(params, experiment)):
        are = "is" if len(sections) == 1 else "are"
        status(f"{params}: {', '.join(sections)} {are} not used, since --experiment {experiment} has its own settings")


def datasets(context: click.Context, option: click.Parameter, start: str) -> list[str]:
    """Return the datasets of which there are images or outputs, to complete a name in the shell."""
    parents = (Path(os.environ.get("DSA_DATASETS") or "datasets"), _outputs())
    found = {path.name for parent in parents if parent.is_dir() for path in parent.iterdir() if path.is_dir()}
    return sorted(name for name in found if name.startswith(start) and not name.startswith("."))


def experiments(context: click.Context, option: click.Parameter, start: str) -> list[str]:
    """Return the user's and the project's experiments, to complete a name in the shell."""
    return [name for name in experiment_names() if name.startswith(start)]


def dataset_option(
    help: str = "Name of the dataset, as in `dsa-data list`.", needed: bool = True
) -> Callable[..., Any]:
    """Return the option --dataset of a command without settings; by default that of ./params.yaml, if there is one.

    Args:
        needed: whether the command is refused where neither names a dataset; else it receives "".
    """

    def named(context: click.Context, option: click.Parameter, name: str | None) -> str:
        if context.resilient_parsing:  # the shell completes a word: nothing may be printed
            return name or ""
        return _settings(name, None, None, (), needed).dataset

    return click.option("--dataset", callback=named, shell_complete=datasets, help=f"{help} [that of params.yaml]")


def default_dataset() -> str:
    """Return the dataset of ./params.yaml. Raises ConfigError if there is none."""
    return _settings(None, None, None, (), True).dataset


class OutputFile(click.Path):
    """A file that a command writes. A place where none can be is refused before any work."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path. Raises ConfigError where a file cannot have it."""
        path = super().convert(value, param, ctx)
        if param is not None and not (ctx and ctx.resilient_parsing):
            check_place(Path(os.fsdecode(path)), param.opts[0] if param.param_type_name == "option" else "The file")
        return path


OUTPUT = OutputFile()


def jobs(text: str, default: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option --jobs, the number of workers; negative numbers mean what they do in joblib."""
    return click.option("--jobs", default=default, show_default=True, callback=_not_zero, help=text)


def _not_zero(context: click.Context, option: click.Parameter, count: int) -> int:
    if count == 0 and not context.resilient_parsing:
        raise ConfigError("--jobs must not be 0. Use the number of workers, or -1 for one per core.")
    if abs(count) > MOST_JOBS:
        raise ConfigError(
            f"--jobs {shortened(str(count))}: expected at most {MOST_JOBS:,}. Use the number of workers, or -1 for one "
            "per core."
        )
    return count


def progress(items: Iterable[T], total: int, label: str, unit: str = "images", each: int = 1) -> Iterator[T]:
    """Yield `items` under a progress bar, or with a plain line now and then (see `Pace`) where there is no terminal.

    The rate and the time left are those of the last half minute. With --quiet nothing is printed.

    Args:
        total: number of units in all.
        each: units in an item; with each=0 an item has `len(item)` units.
    """
    if _quiet:
        yield from items
        return
    done, rate, pace, lines = 0, Rate(), Pace(), 0
    bar = _bar(total, label, unit) if _is_terminal() else None
    with nullcontext() if bar is None else bar:
        for item in items:
            yield item
            count = each or len(item)  # type: ignore[arg-type]
            done += count
            rate.report(done)
            if bar is not None:
                bar.set_postfix_str(_speed(rate, total - done), refresh=False)
                bar.update(count)
            elif pace.is_due():
                pace.printed()
                lines += 1
                words = [f"{label}: {done}/{total} {unit}", _speed(rate, total - done)]
                click.echo(", ".join(filter(None, words)), err=True)
    if lines:
        click.echo(f"{label}: {done} {unit} in {duration(time.monotonic() - pace.start)}", err=True)


def _speed(rate: Rate, left: int) -> str:
    """Return how fast the work goes and how long the rest takes, in words; empty until that is known."""
    speed = rate.per_second
    if not speed:
        return ""
    return f"{speed:.0f} a second, {duration(left / speed)} left" if speed >= 1 else f"{duration(left / speed)} left"


def _is_terminal() -> bool:
    """Return whether the standard error is a terminal on which a bar can be written again in place."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar(total: int, label: str, unit: str) -> tqdm[Any]:
    form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit}{postfix}"
    return tqdm(total=total, desc=label, unit=unit, bar_format=form, dynamic_ncols=True)


def artifacts(dataset: str) -> Path:
    """Return the folder of a dataset's outputs: artifacts/<dataset>, or <dataset> in $DSA_ARTIFACTS if that is set.

    Raises ConfigError for a name that is a path, and in a stage that DVC runs if $DSA_ARTIFACTS is not the artifacts/
    that dvc.yaml names.
    """
    if dataset in (".", "..") or "/" in dataset or "\0" in dataset:
        raise ConfigError(f"{shown(dataset)} is no name of a dataset: it would be a path. Give a name: --dataset NAME")
    folder = _outputs()
    if "DVC_STAGE" in os.environ and folder.resolve() != Path("artifacts").resolve():
        raise ConfigError(
            f"$DSA_ARTIFACTS is {folder}, but dvc.yaml names artifacts/ in this folder: DVC would miss the output. "
            "Unset it (unset DSA_ARTIFACTS). To work on another disk, clone the project there, or run the commands "
            "without DVC."
        )
    return folder / dataset


def _outputs() -> Path:
    return Path(os.environ.get("DSA_ARTIFACTS") or "artifacts")
