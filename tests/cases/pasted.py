"""Checks that the commands which a message names exist, with the options that it names."""

from functools import cache

import click

from dsa_app.remedies import COMMAND, complete


@cache
def options_of(command: str) -> frozenset[str]:
    """Return the options of a command such as "dsap build". Fails if there is no such command."""
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
    return frozenset(option for parameter in found.params for option in parameter.opts)


def check(message: str) -> None:
    """Fail if a message, completed as the command line prints it, has a command or an option that does not exist."""
    for command, words in COMMAND.findall(complete(message)):
        used = {word.split("=")[0] for word in words.split() if word.startswith("--")}
        unknown = used - options_of(command) - {"--help"}
        assert not unknown, f"a message names {command} {', '.join(unknown)}, which does not exist: {message}"
