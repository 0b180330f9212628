"""The measurements as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LISTED = 10  # rows of kernels that are printed
HIDDEN = ("losses", "last_lines", "ended", "seconds")


def table(result: dict[str, Any]) -> str:
    """Return a line a number, under a heading a part."""
    machine = result["machine"]
    lines = [
        f"{machine.get('gpu', machine['cpu'])}, torch {machine['torch']}, commit {result['commit']}, size "
        f"{result['size']}: {result.get('seconds', 0):.0f} s in all"
    ]
    for part, found in result["parts"].items():
        lines += ["", f"{part} ({found['ended']}, {found['seconds']:.0f} s)"]
        for name, value in found.items():
            if name == "rows":
                lines += [
                    f"  {row['ms']:9.2f} ms {row['calls']:6} calls  {row['kernel'][:80]}" for row in value[:LISTED]
                ]
            elif name not in HIDDEN:
                lines += [f"  {label:60} {number}" for label, number in numbers(name, value)]
    return "\n".join(lines) + "\n"


def numbers(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the label and the text of every number in nested dictionaries."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(f"{name}: {key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield name, str(inner)
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)
