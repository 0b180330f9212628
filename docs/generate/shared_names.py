"""A griffe extension: a docstring's line "a, b: text" describes two names, and each gets a line of its own."""

from __future__ import annotations

import re
from typing import Any

import griffe

SHARED = re.compile(r"^    (\w+(?:, \w+)+): ((?:.*\n(?=        ))*.*)$", re.MULTILINE)


class SharedNames(griffe.Extension):
    """Divide the lines under "Args:" and "Attributes:" that describe several names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = divided(obj.docstring.value)


def divided(text: str) -> str:
    """Return a docstring in which each name has the description that it shares with others."""
    return SHARED.sub(
        lambda match: "\n".join(f"    {name}: ({match[1]}) {match[2]}" for name in match[1].split(", ")), text
    )
