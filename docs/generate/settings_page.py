"""The settings' reference, from the dataclasses: name, default, range, meaning and source of each."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import annotated_types
from pydantic.fields import FieldInfo

from densepose_extract.config import ExtractConfig
from dsa_app.config import SECTIONS
from dsa_data.synthetic.config import SynthConfig
from dsa_train.ablation.trainings import AblationConfig
from dsa_train.config import TrainConfig
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.probe.config import ProbeConfig
from dsap.config import WarpConfig
from dsap.fuse.config import FuseConfig

CLASSES: dict[str, type] = {
    "synth": SynthConfig,
    "extract": ExtractConfig,
    "fuse": FuseConfig,
    "warp": WarpConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "ablation": AblationConfig,
    "probe": ProbeConfig,
}
USED_BY = {
    "synth": "dsa-data synth, dsa-data prepare",
    "extract": "densepose-extract run, densepose-extract import",
    "fuse": "dsap fuse",
    "warp": "dsap build",
    "train": "dsa-train run",
    "evaluate": "dsa-train evaluate",
    "ablation": "dsa-train ablation",
    "probe": "dsa-train probe",
}
# what a description may cite: a decision, a section of the paper, or another paper by its authors and year
CITED = re.compile(
    r"D-\d{3}|[Ss]ection \d(?:\.\d)*(?: of the paper)?|[A-Z][\w-]+(?: et al\.| and [A-Z]\w+)?,? (?:\(\d{4}\)|\d{4}\b)"
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        name: with its section, as `--set` takes it.
        owner: the dataclass whose field it is.
    """

    name: str
    default: str
    allowed: str
    meaning: str
    source: str
    owner: type


def settings(section: str) -> list[Setting]:
    """Return all settings of a section in the order of their dataclasses."""
    return list(_settings(section, CLASSES[section]))


def _settings(above: str, owner: Any) -> Iterator[Setting]:
    hints = typing.get_type_hints(owner, include_extras=True)
    meanings = {name: text for base in reversed(owner.__mro__) for name, text in described(base).items()}
    for field in dataclasses.fields(owner):
        name, hint = f"{above}.{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _settings(name, hint)
            continue
        default, bounds = _default(field)
        meaning = meanings.get(field.name, "")
        allowed = _allowed(hint, bounds)
        yield Setting(name, _shown(default), allowed, meaning, _source(meaning, owner), owner)


def described(owner: Any) -> dict[str, str]:
    """Return what a dataclass says of its fields: in the docstring's "Attributes", else in the comment of the line."""
    if "__annotations__" not in vars(owner):
        return {}
    texts = _comments(owner) | _attributes(inspect.getdoc(owner) or "")
    return {name: text[:1].upper() + text[1:] for name, text in texts.items()}


def _attributes(text: str) -> dict[str, str]:
    """Return the descriptions under "Attributes:" of a docstring; "height, width: …" describes both."""
    _, _, after = text.partition("Attributes:\n")
    block = re.split(r"\n\S", after)[0]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w[\w, ]*: )", "\n" + block):
        names, colon, meaning = entry.strip().partition(": ")
        if colon:
            text = " ".join(meaning.split())
            found |= {name.strip(): f"{names}: {text}" if "," in names else text for name in names.split(",")}
    return found


def _comments(owner: Any) -> dict[str, str]:
    """Return the comments behind fields, by field."""
    lines = textwrap.dedent(inspect.getsource(owner)).splitlines()
    body = next(node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef)).body
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, mark, comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")
            if mark:
                found[node.target.id] = comment.strip()
    return found


def _default(field: dataclasses.Field[Any]) -> tuple[Any, list[Any]]:
    """Return a field's default and the bounds that stand beside it."""
    if isinstance(field.default, FieldInfo):
        return field.default.default, list(field.default.metadata)
    if field.default is not dataclasses.MISSING:
        return field.default, []
    assert field.default_factory is not dataclasses.MISSING, f"{field.name} has a default"
    return field.default_factory(), []


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(hint: Any, bounds: list[Any]) -> str:
    """Return which values a type allows, in words."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(hint)
        return _allowed(inner, [*bounds, *more])
    if origin is Literal:
        return ", ".join(f"`{_shown(value)}`" for value in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        return " or ".join(_allowed(one, bounds) for one in inner) + " or `null`" * (
            len(inner) < len(typing.get_args(hint))
        )
    if origin is tuple:
        parts = typing.get_args(hint)
        if parts[-1] is Ellipsis:
            return f"list: {_allowed(parts[0], [])}"
        return f"list of {len(parts)}: {_allowed(parts[0], [])}"
    if origin is dict:
        return "mapping"
    kind = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}[hint]
    limits = [text for bound in _flat(bounds) for text in _limits(bound)]
    return " ".join([kind, " and ".join(limits)]).strip()


def _flat(bounds: list[Any]) -> Iterator[Any]:
    for bound in bounds:
        if isinstance(bound, FieldInfo):
            yield from bound.metadata
        else:
            yield bound


def _limits(bound: Any) -> Iterator[str]:
    """Yield the limits that one piece of pydantic's metadata sets."""
    for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        value = getattr(bound, name, None)
        if value is not None and not isinstance(bound, annotated_types.Len):
            yield f"{sign} {_shown(value)}"


def _source(meaning: str, owner: Any) -> str:
    """Return what a setting's description cites, else what its class does: a section, another paper, or "project"."""
    about = _about(owner)
    cited = list(dict.fromkeys(CITED.findall(meaning) or CITED.findall(about)))
    return ", ".join(cited) or ("the paper" if "the paper's" in about else "project")


def _about(owner: Any) -> str:
    """Return what a dataclass's docstring says before its attributes, in one paragraph."""
    return " ".join((inspect.getdoc(owner) or "").partition("Attributes:")[0].partition("Raises ")[0].split())


def page() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        "Every setting is a field of a frozen dataclass; this page is generated from them. `--set SECTION.KEY=VALUE`",
        "changes one, `--params FILE` and `--experiment NAME` change many. The right side of `--set` is YAML: `true`,",
        "`null`, `[16, 8]`.",
        "",
        "The last column says where a setting or its default is from: the paper, another publication, a",
        '[decision](../design/decisions/README.md) (D-…), or "project", a choice of this project.',
        "",
    ]
    for section in SECTIONS:
        lines += [f"## `{section}`", "", f"Used by: `{USED_BY[section].replace(', ', '`, `')}`.", ""]
        for owner, group in itertools.groupby(settings(section), key=lambda one: one.owner):
            rows = list(group)
            lines += [f"**{_about(owner)}** `{owner.__module__}.{owner.__name__}`", ""]
            lines += [
                "| setting | default | allowed | meaning | source |",
                "|---|---|---|---|---|",
                *map(_row, rows),
                "",
            ]
    return "\n".join(lines)


def _row(one: Setting) -> str:
    cells = (f"`{one.name}`", f"`{one.default}`" if one.default else "empty", one.allowed, one.meaning, one.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
