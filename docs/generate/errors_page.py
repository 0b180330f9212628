"""The errors' reference, from the code: every class, and each message that it is raised with."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsa_app.errors import DsaError
from dsa_reid.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dsa_reid", "dsa_app", "dsa_data", "densepose_extract", "dsap", "dsa_train")
MODULES = (
    "dsa_app.errors",
    "dsa_reid.errors",
    "dsa_data.records",
    "dsa_data.stores.header",
    "dsa_train.evaluation.calibrate",
    "dsa_train.stopping",
)
EXPECTED = re.compile(r"[:;] (?:and )?(?=(?:expected|give|set|use|leave|write|name|choose|put|it was refused)\b)(\w)")
GUARDS = ("guarded",)  # guarded(Class, path, what is wrong, remedy)


@dataclass(frozen=True)
class Message:
    """What an error says: a problem and its remedy, with names in ‹› for what is filled in."""

    owner: str
    text: str
    module: str


def classes() -> dict[str, type[Exception]]:
    """Return every class of error that a user may see, the general ones first."""
    found: dict[str, type[Exception]] = {}
    for name in MODULES:
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and issubclass(value, DsaError | ModelError) and value.__module__ == name:
                found[value.__name__] = value
    return found


def messages() -> list[Message]:
    """Return all messages, in the order of modules and lines."""
    known = classes()
    found = []
    for package in PACKAGES:
        folder = Path(importlib.import_module(package).__path__[0])
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            module = ".".join([package, *(part for part in parts if part != "__init__")])
            found += [Message(owner, text, module) for owner, text in _raised(path, known)]
    return list(dict.fromkeys(found))


def _raised(path: Path, known: dict[str, type[Exception]]) -> Iterator[tuple[str, str]]:
    """Yield class and message of every error that a file makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in GUARDS and isinstance(node.args[0], ast.Name):
            owner, texts = node.args[0].id, [text for text in map(_text, node.args[2:4]) if text]
            if owner in known and texts:
                yield owner, "‹path› " + " ".join(one if one.endswith(".") else one + "." for one in texts)
        elif name in known and (text := _text(node.args[0])):
            yield name, text


def _text(node: ast.expr) -> str:
    """Return a message with names for what is filled in; empty if it is not written where the error is raised."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else f"‹{_name(part.value)}›"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        ]
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return left + right if left and right else left or right
    return ""


def _name(node: ast.expr) -> str:
    """Return a short name of what is filled in."""
    if isinstance(node, ast.Call) and node.args:
        return _name(node.args[0])
    if isinstance(node, ast.Attribute | ast.Name):
        return getattr(node, "attr", getattr(node, "id", "…"))
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return "…"


def split(text: str) -> tuple[str, str]:
    """Return a message's problem, its first sentence, and its remedy: the rest, or what the sentence expects."""
    problem, _, remedy = " ".join(text.split()).partition(". ")
    if remedy:
        return problem + ".", remedy
    match = EXPECTED.search(problem)
    return (problem[: match.start()] + ".", match[1].upper() + problem[match.end() :]) if match else (problem, "")


def page() -> str:
    """Return the page of all errors."""
    known, found = classes(), messages()
    lines = [
        "# Errors",
        "",
        "Every error that you can fix is one of these classes. The commands print it in one line after `error:` and",
        "exit with code 2. In Python, `dsa_reid` raises `ModelError`, everything else a `DsaError`. This page is",
        "generated from the code: each message with its remedy. ‹Names› stand for what is filled in; where no remedy",
        "is listed, what is filled in says it. Search the page for words of a message.",
        "",
    ]
    for name, owner in known.items():
        base = owner.__bases__[0].__name__
        own = [message for message in found if message.owner == name]
        lines += [f"## {name}", "", (inspect.getdoc(owner) or "").split("\n\n")[0], ""]
        lines += [
            f"A `{base}`, defined in `{owner.__module__}`. {len(own) or 'No'} message{'s' * (len(own) != 1)}.",
            "",
        ]
        if own:
            lines += ["| message | remedy | raised by |", "|---|---|---|"]
            lines += [f"| {_cell(split(one.text)[0])} | {_cell(split(one.text)[1])} | `{one.module}` |" for one in own]
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return a text for a cell of a table, in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#~^])", r"\\\1", text)
