"""The commands' reference, from click: help, arguments and options of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from densepose_extract.cli import main as densepose_extract
from dsa_data.cli import main as dsa_data
from dsa_train.cli import main as dsa_train
from dsap.cli import main as dsap

GROUPS: dict[str, click.Group] = {
    "dsa-data": dsa_data,
    "densepose-extract": densepose_extract,
    "dsap": dsap,
    "dsa-train": dsa_train,
}
NAMES = re.compile(r"(?<![\w`])--[a-z][\w-]*")


def commands(group: str) -> list[tuple[str, click.Command]]:
    """Return the commands of a group with their full names, in alphabetical order."""
    return [(f"{group} {name}", command) for name, command in sorted(GROUPS[group].commands.items())]


def page(group: str) -> str:
    """Return the page of one group."""
    lines = [f"# {group}", "", _prose(GROUPS[group].help), ""]
    lines += [f"This page is generated from the commands. `{group} COMMAND --help` prints the same.", ""]
    for name, command in commands(group):
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {name}", "", _prose(command.help), "", "```text", f"{name} {usage}", "```", ""]
        rows = [_row(parameter, context) for parameter in command.params]
        if rows:
            lines += ["| option | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: click.Parameter, context: click.Context) -> str:
    """Return an option or argument as a row of the table."""
    if isinstance(parameter, click.Option):
        record = parameter.get_help_record(context)
        meaning = re.sub(r"\s*\[default: .*?\]$", "", record[1]) if record else parameter.help or ""
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else parameter.make_metavar(context)
    else:
        meaning, names, value = "", f"`{parameter.make_metavar(context)}`", "argument"
    several = "; may be given several times" if parameter.multiple else ""
    needed = "; required" if parameter.required else ""
    cells = (
        names,
        (f"`{value}`" if value not in ("", "argument") else value) + several + needed,
        _default(parameter),
        meaning,
    )
    return "| " + " | ".join(_plain(" ".join(cell.split())).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Return a text in which <names> are no tags and [names] no links, but for code."""
    return "".join(part if code else part.replace("<", "&lt;").replace("[", "\\[") for code, part in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a text, and whether each is code in backticks."""
    for part in re.split(r"(`[^`]*`)", text):
        yield part.startswith("`"), part


def _default(parameter: click.Parameter) -> str:
    """Return a default as it is typed; empty where there is none, or the meaning states it in brackets."""
    default: Any = parameter.default
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    if flag or default is None or callable(default) or default in ((), "") or repr(default).startswith("Sentinel"):
        return ""
    return f"`{' '.join(map(str, default)) if isinstance(default, list | tuple) else default}`"


def _prose(text: str | None) -> str:
    """Return a help text as Markdown: paragraphs as they are, those marked as preformatted as code."""
    return "\n\n".join(_paragraphs(inspect.cleandoc(text or "")))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip().startswith("\b"):
            yield "```text\n" + paragraph.strip().removeprefix("\b").strip("\n") + "\n```"
        else:
            yield NAMES.sub(lambda match: f"`{match[0]}`", _plain(paragraph))
