"""Checks that the commands which a message names can be pasted: they exist, with the options and what they require."""

import re
from functools import cache

import click

from dsa_app.config import PARAMS
from dsa_app.remedies import COMMAND, PATHS, WITH_DATASET, WITH_SETTINGS, complete

# What a command needs and click does not know of: one of these.
SOURCES = {"--dataset", "--params", "--pictures"}
NO_DATASET = {"dsa-train embed", "dsa-train search"}
ARGUMENT = re.compile(
    r" (?!-)(?=[^\s,;]*(?:[A-Z]|[./](?=\S)))[^\s,;()]*[^\s,.;:()]"
)  # a placeholder in capitals, or a path


@cache
def parameters_of(command: str) -> tuple[click.Parameter, ...]:
    """Return the parameters of a command such as "dsap build". Fails if there is no such command."""
    import densepose_extract.cli
    import dsa_data.cli
    import dsa_train.cli
    import dsap.cli

    groups = {
        "dsa-data": dsa_data.cli.main,
        "densepose-extract": densepose_extract.cli.main,
        "dsap": dsap.cli.main,
        "dsa-train": dsa_train.cli.main,
    }
    program, name = command.split()
    found = groups[program].get_command(click.Context(groups[program]), name)
    assert found is not None, f"a message names the command {command!r}, which does not exist"
    return tuple(found.params)


def options_of(command: str) -> frozenset[str]:
    """Return the options of a command such as "dsap build". Fails if there is no such command."""
    return frozenset(name for parameter in parameters_of(command) for name in parameter.opts if name.startswith("--"))


def check(message: str) -> None:
    """Fail if a message, completed as the command line prints it, has a command that cannot be run as it stands.

    The command and its options exist, and its required options and arguments are there, as paths or as placeholders in
    capitals; so is the dataset, unless a params.yaml names one.
    """
    text = complete(message)
    for match in COMMAND.finditer(text):
        command = match[1]
        parameters = parameters_of(command)
        written, arguments = _words(text[match.end(1) :])
        if "--help" in written:
            continue
        unknown = written - options_of(command)
        assert not unknown, f"a message names {command} {', '.join(unknown)}, which does not exist: {text}"
        for parameter in parameters:
            if isinstance(parameter, click.Option) and parameter.required:
                assert written & set(parameter.opts), f"a message names {command} without {parameter.opts[0]}: {text}"
        required = sum(isinstance(each, click.Argument) and each.required for each in parameters)
        assert arguments >= required, f"a message names {command} without its argument: {text}"
        _check_source(command, written, arguments, text)


def _check_source(command: str, written: set[str], arguments: int, text: str) -> None:
    """Fail if it is not said what the command works on."""
    if command in WITH_SETTINGS | WITH_DATASET | PATHS.keys() - NO_DATASET and not PARAMS.is_file():
        assert written & SOURCES, f"a message names {command} without a dataset: {text}"
    if command == "dsa-train embed":
        assert written & {"--dataset"} or (arguments and "--out" in written), f"without its folder, --out: {text}"


def _words(rest: str) -> tuple[set[str], int]:
    """Return the options after a command, and how many arguments it has; up to the first word that is neither."""
    written, arguments = set(), 0
    option = re.compile(r" (--[a-z][a-z-]*)(?:[ =](?:'[^']*'|(?!-)[^\s,;'()]*[^\s,.;:'()]))?")
    while True:
        if found := option.match(rest):
            written.add(found[1])
        elif found := ARGUMENT.match(rest):
            arguments += 1
        else:
            return written, arguments
        rest = rest[found.end() :]
