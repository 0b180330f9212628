"""Remedies that can be pasted: the commands that a message names get the options that the user gave."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from contextvars import ContextVar

from .config import PARAMS

# The commands that take --dataset, --params, --experiment and --set, and those that take --dataset alone.
WITH_SETTINGS = {
    "dsa-data prepare", "dsa-data synth", "densepose-extract run", "densepose-extract import", "dsap build",
    "dsa-train run", "dsa-train evaluate", "dsa-train rank", "dsa-train report", "dsa-train ceiling",
    "dsa-train summary", "dsa-train show-batch", "dsa-train explain", "dsa-train ablation", "dsa-train probe",
}  # fmt: skip
WITH_DATASET = {
    "dsa-data check", "dsa-data stats", "dsa-data sheet", "dsa-data pack", "densepose-extract show",
    "densepose-extract stats", "dsap verify", "dsap show", "dsap export", "dsa-train experiments",
}  # fmt: skip
OPTION = r" --[a-z][a-z-]*(?:[ =](?:'[^']*'|(?!-)[^\s,;'()]*[^\s,.;:'()]))?"
COMMAND = re.compile(
    r"\b((?:dsa-data|densepose-extract|dsap|dsa-train) [a-z][a-z-]*)"  # the command
    r"((?: (?:DIR|FILE)\b)?)"  # a placeholder of its argument
    rf"((?:{OPTION})*)"  # its options, some with a value
)
# A command, or an option after a colon, that ends a line: the full stop would be pasted with it.
FULL_STOP = re.compile(rf"({COMMAND.pattern}|:{OPTION})\.(?=\n|$)")

# The options for the files that several commands read or write, by what the file is.
PATHS: dict[str, dict[str, str]] = {
    "dsa-data prepare": {"manifest": "--out"},
    "densepose-extract run": {"pictures": "--pictures", "manifest": "--manifest", "root": "--root", "iuv": "--out"},
    "densepose-extract import": {"pictures": "--pictures", "manifest": "--manifest", "root": "--root", "iuv": "--out"},
    "densepose-extract show": {"pictures": "--pictures", "root": "--root", "iuv": "--iuv"},
    "densepose-extract stats": {"pictures": "--pictures", "manifest": "--manifest", "root": "--root", "iuv": "--iuv"},
    "dsap build": {
        "pictures": "--pictures", "manifest": "--manifest", "root": "--root", "iuv": "--iuv", "dsap": "--out",
    },
    "dsap verify": {"manifest": "--manifest", "iuv": "--iuv", "dsap": "--dsap"},
    "dsap show": {"manifest": "--manifest", "root": "--root", "iuv": "--iuv", "dsap": "--dsap"},
    "dsap export": {"manifest": "--manifest", "dsap": "--dsap"},
    "dsa-train run": {"manifest": "--manifest", "dsap": "--dsap"},
    "dsa-train evaluate": {"manifest": "--manifest", "dsap": "--dsap", "run": "--run"},
    "dsa-train report": {"manifest": "--manifest", "dsap": "--dsap", "iuv": "--iuv"},
    "dsa-train rank": {"manifest": "--manifest", "dsap": "--dsap", "run": "--run"},
    "dsa-train show-batch": {"manifest": "--manifest", "dsap": "--dsap"},
    "dsa-train explain": {"manifest": "--manifest", "iuv": "--iuv", "run": "--run"},
    "dsa-train probe": {"manifest": "--manifest", "iuv": "--iuv", "run": "--run"},
    "dsa-train ceiling": {"manifest": "--manifest"},
    "dsa-train embed": {"features": "--out"},
    "dsa-train search": {"features": "--gallery"},
}  # fmt: skip
SETTINGS = ("--dataset", "--params", "--experiment", "--set")
LIST_IMAGES = "dsa-data prepare"  # of a dataset; the images of a folder are listed by stage one
MAKE_MAPS, IMPORT_MAPS = "densepose-extract run", "densepose-extract import"
PLACEHOLDER = "NAME"  # of the dataset, where the user named none

Options = tuple[tuple[str, str | None], ...]


@dataclasses.dataclass(frozen=True)
class Given:
    """The command that runs, as the user gave it.

    Attributes:
        options: pairs such as ("--dataset", "market1501"); the value of a flag is None.
        command: such as "dsap build".
        arguments: those that are no options.
        dataset: the one that the command works on, where it is known.
        of_params: whether ./params.yaml names it, whose other values a --dataset would switch off.
    """

    options: Options = ()
    command: str = ""
    arguments: tuple[str, ...] = ()
    dataset: str = ""
    of_params: bool = False

    @property
    def names(self) -> set[str]:
        """The names of the options."""
        return {name for name, _ in self.options}

    @property
    def paths(self) -> dict[str, str]:
        """The paths by what is there, as "iuv"."""
        values = dict(self.options)
        return {what: str(values[name]) for what, name in PATHS.get(self.command, {}).items() if name in values}


NOTHING = Given()
_given: ContextVar[Given] = ContextVar("given", default=NOTHING)


def remember(options: Iterable[tuple[str, str | None]] = (), command: str = "", arguments: Iterable[str] = ()) -> None:
    """Keep what the running command was given, see `Given`."""
    _given.set(Given(tuple(options), command, tuple(arguments)))


def remember_dataset(dataset: str, of_params: bool) -> None:
    """Keep the name of the dataset that the running command works on, and whether ./params.yaml names it."""
    _given.set(dataclasses.replace(_given.get(), dataset=dataset, of_params=of_params))


def output() -> str:
    """Return the output that the user named; empty if none."""
    return str(dict(_given.get().options).get("--out") or "")


def complete(message: str) -> str:
    """Return a message whose commands have the options that the running command was given, unless they have them.

    A command gets the paths of the files that it reads or writes, under its own names for them; the running command
    itself gets all its options and arguments. A command that needs a dataset, where none was given and no params.yaml
    names one, gets `--dataset NAME`. A command that ends a line has no full stop, which would be pasted.
    """
    given = _given.get()
    text = FULL_STOP.sub(r"\1", message)
    return COMMAND.sub(lambda match: _completed(given, match[1], match[2], match[3]), text)


def _completed(given: Given, command: str, argument: str, present: str) -> str:
    if present == " --help":
        return command + argument + present
    if "pictures" in given.paths and command == LIST_IMAGES:
        command = MAKE_MAPS
    if given.command == IMPORT_MAPS and command == MAKE_MAPS:
        command = IMPORT_MAPS
    if given.of_params:
        present = re.sub(rf" --dataset[ =]{re.escape(given.dataset)}(?= |$)", "", present)
    paths = given.paths
    if command == given.command:
        if argument:  # the placeholders are of what the user gave, or left out
            argument = "".join(f" {shlex.quote(text)}" for text in given.arguments)
            present = re.sub(r" --[a-z-]+ [A-Z]+\b", "", present)
        return command + argument + _added([*_dataset(given, command), *given.options], present)
    named = [(option, paths[what]) for what, option in PATHS.get(command, {}).items() if what in paths]
    for option, value in named:
        present = present.replace(f"{option} FILE", f"{option} {shlex.quote(value)}")
    return command + argument + _added([*_settings(given, command), *named], present)


def _settings(given: Given, command: str) -> list[tuple[str, str | None]]:
    """Return the options that name the dataset and the settings of a command."""
    if command not in WITH_SETTINGS | WITH_DATASET:
        return []
    taken = SETTINGS if command in WITH_SETTINGS else SETTINGS[:1]
    return [*_dataset(given, command), *(pair for pair in given.options if pair[0] in taken)]


def _dataset(given: Given, command: str) -> list[tuple[str, str | None]]:
    """Return --dataset for a command that needs it, where the user's options and params.yaml do not name one."""
    on_folder = "pictures" in given.paths and "pictures" in PATHS.get(command, {})
    if command not in WITH_SETTINGS | WITH_DATASET or on_folder or "--dataset" in given.names:
        return []
    if "--params" in given.names:
        return [("--dataset", given.dataset)] if command in WITH_DATASET and given.dataset else []
    return [] if PARAMS.is_file() else [("--dataset", given.dataset or PLACEHOLDER)]


def _added(options: Iterable[tuple[str, str | None]], present: str) -> str:
    """Return the options that are not present yet, then those that are."""
    words = set(re.split(r"[ =]", present))
    if "--run" in words:
        words.add("--experiment")  # a run that a message names has its own
    added = [
        f" {name}" if value is None else f" {name} {shlex.quote(value)}" for name, value in options if name not in words
    ]
    return "".join(added) + present
