"""The navigation: what mkdocs.yml lists, and every other page of docs/ at the end of the section of its folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

SECTIONS = {"design": "Design", "tutorials": "Tutorials", "concepts": "Concepts"}
OTHER = "Reference"


def listed(entries: Iterable[Any]) -> Iterator[str]:
    """Yield the pages of a navigation."""
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(value, list):
            yield from listed(value)
        else:
            yield str(value)


def completed(entries: list[dict[str, Any]], pages: Iterable[str]) -> list[dict[str, Any]]:
    """Return a navigation with pages that it does not list, each at the end of the section of its folder."""
    missing = sorted(set(pages) - set(listed(entries)))
    result = []
    for entry in entries:
        ((title, value),) = entry.items()
        own = [page for page in missing if SECTIONS.get(page.split("/")[0], OTHER) == title]
        result.append({title: [*value, *own]} if isinstance(value, list) else entry)
    return result
