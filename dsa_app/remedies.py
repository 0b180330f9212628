"""Remedies that can be pasted: the commands that a message names get the options that the user gave."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

from .config import PARAMS

# The commands that take --dataset, --params, --experiment and --set, and those that take --dataset alone.
WITH_SETTINGS = {
    "dsa-data prepare", "dsa-data synth", "densepose-extract run", "densepose-extract import", "dsap build",
    "dsa-train run", "dsa-train evaluate", "dsa-train rank", "dsa-train report", "dsa-train ceiling",
    "dsa-train summary", "dsa-train show-batch", "dsa-train explain", "dsa-train ablation",
}  # fmt: skip
WITH_DATASET = {
    "dsa-data check", "dsa-data stats", "dsa-data sheet", "densepose-extract show", "densepose-extract stats",
    "dsap verify", "dsap show", "dsap export", "dsa-train experiments",
}  # fmt: skip
COMMAND = re.compile(
    r"\b((?:dsa-data|densepose-extract|dsap|dsa-train) [a-z][a-z-]*)"  # the command
    r"((?: --[a-z][a-z-]*(?:[ =](?:'[^']*'|(?!-)[^\s,;'()]*[^\s,.;:'()]))?)*)"  # its options, some with a value
)

# The commands that work on a folder of images, with the options for the folder and its stores.
WITH_PICTURES = {
    "densepose-extract run": {"pictures": "--pictures", "iuv": "--out"},
    "densepose-extract import": {"pictures": "--pictures", "iuv": "--out"},
    "densepose-extract show": {"pictures": "--pictures", "iuv": "--store"},
    "densepose-extract stats": {"pictures": "--pictures", "iuv": "--store"},
    "dsap build": {"pictures": "--pictures", "iuv": "--iuv", "dsap": "--out"},
}
LIST_IMAGES = "dsa-data prepare"  # of a dataset; the images of a folder are listed by stage one
PLACEHOLDER = "NAME"  # of the dataset, where the user named none

_given: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("given", default=())


def remember(options: Iterable[tuple[str, str | None]]) -> None:
    """Keep the options that the running command was given: pairs such as ("--dataset", "market1501")."""
    _given.set(tuple((name, value) for name, value in options if value is not None))


def remember_pictures(pictures: Path, iuv: Path | None, dsap: Path | None = None) -> None:
    """Keep the folder of images that the running command was given in place of a dataset, and its stores."""
    paths = [("pictures", pictures), ("iuv", iuv), ("dsap", dsap)]
    _given.set((*_given.get(), *((name, str(path)) for name, path in paths if path is not None)))


def complete(message: str) -> str:
    """Return a message whose commands have the options that the running command was given, unless they have them.

    A command that needs a dataset, where none was given and no params.yaml names one, gets `--dataset NAME`.
    """
    return COMMAND.sub(lambda match: _completed(match[1], match[2]), message)


def _completed(command: str, present: str) -> str:
    given = dict(_given.get())
    if "pictures" in given:
        command = "densepose-extract run" if command == LIST_IMAGES else command
        if command in WITH_PICTURES:
            options = [(option, given[key]) for key, option in WITH_PICTURES[command].items() if key in given]
            return command + _added([*options, *_given.get()], {*WITH_PICTURES[command].values(), "--set"}, present)
    names = {"--dataset", "--params", "--experiment", "--set"} if command in WITH_SETTINGS else set()
    if "--run" in present.split():
        names -= {"--experiment"}  # a run that is named has its own
    names |= {"--dataset"} if command in WITH_DATASET else set()
    options = list(_given.get())
    if not {"--dataset", "--params"} & given.keys() and not PARAMS.is_file():
        options.insert(0, ("--dataset", PLACEHOLDER))
    return command + _added(options, names, present)


def _added(options: Iterable[tuple[str, str]], names: set[str], present: str) -> str:
    """Return the options of these names that are not present yet, then those that are."""
    words = set(re.split(r"[ =]", present))
    added = [
        f" {name} {value if value == PLACEHOLDER else shlex.quote(value)}"
        for name, value in options
        if name in names and name not in words
    ]
    return "".join(added) + present
