"""Settings as options that can be pasted: --set train.network.main.width=1."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import yaml

from dsa_reid.errors import SettingError


def assignments(changes: Mapping[str, object]) -> str:
    """Return the options that set some settings, "--set a.b=1 --set c=two", quoted for a shell.

    Args:
        changes: by their whole names, "train.network.main.width".
    """
    return " ".join(f"--set {shlex.quote(f'{name}={_value(value)}')}" for name, value in changes.items())


def message(error: SettingError, changes: Mapping[str, object]) -> str:
    """Return an error of two settings with the options that a command may add.

    Args:
        changes: those of the error, by their whole names.
    """
    otherwise = f"{error.otherwise[:1].upper()}{error.otherwise[1:]}, or add: " if error.otherwise else "Add: "
    return f"{error.problem} {otherwise}{assignments(changes)}"


def _value(value: object) -> str:
    """Return a value as YAML on one line, a whole number without its point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    return yaml.safe_dump(value, width=float("inf")).removesuffix("\n...\n").strip()
