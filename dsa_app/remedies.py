"""Remedies that can be pasted: the commands that a message names get the options that the user gave."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from contextvars import ContextVar

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

_given: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("given", default=())


def remember(options: Iterable[tuple[str, str | None]]) -> None:
    """Keep the options that the running command was given: pairs such as ("--dataset", "market1501")."""
    _given.set(tuple((name, value) for name, value in options if value is not None))


def complete(message: str) -> str:
    """Return a message whose commands have the options that the running command was given, unless they have them."""
    return COMMAND.sub(lambda match: match[1] + _options(match[1], match[2]) + match[2], message)


def _options(command: str, present: str) -> str:
    names = {"--dataset", "--params", "--experiment", "--set"} if command in WITH_SETTINGS else set()
    names |= {"--dataset"} if command in WITH_DATASET else set()
    words = set(re.split(r"[ =]", present))
    added = [f" {name} {shlex.quote(value)}" for name, value in _given.get() if name in names and name not in words]
    return "".join(added)
