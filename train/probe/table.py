"""The result of a probe as text, as plain values, and as a figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .bootstrap import Interval
from .rows import AT_TEST, AVERAGE, OTHERS, OWN, STRIPES, TEMPLATE

ORDER = (AVERAGE, STRIPES, TEMPLATE, AT_TEST, OTHERS, OWN)
COMPARED = (OTHERS, TEMPLATE, STRIPES, AT_TEST)  # with OWN
CONTROLS = (OTHERS, TEMPLATE)  # that OWN must be above, for a claim of semantics


@dataclasses.dataclass(frozen=True)
class Column:
    """One level, or both.

    Attributes:
        name: "stride 16", "stride 8" or "both".
        mAP: of each row, a fraction.
        rank1: of each row, a fraction.
        ridge: of each row.
        over: by row, the difference in mAP of OWN over it.
        right: by row, the share of cells of unseen training images with the class of their map; empty for "both".
    """

    name: str
    mAP: dict[str, float]  # noqa: N815 - the field's name
    rank1: dict[str, float]
    ridge: dict[str, float]
    over: dict[str, Interval]
    right: dict[str, float]

    @property
    def shows_semantics(self) -> bool:
        """Whether OWN is above every control, beyond the interval."""
        return all(self.over[row].above_zero for row in CONTROLS)


@dataclasses.dataclass(frozen=True)
class Probe:
    """The result of a probe.

    Attributes:
        columns: one for each level, and one for both.
        about: what was probed, for the record: trunk, maps, counts.
    """

    columns: list[Column]
    about: Mapping[str, Any]


def verdict(probe: Probe) -> str:
    """Return the answer in a sentence: do these maps say where to pool, beyond the controls?"""
    shown = [column.name for column in probe.columns if column.shows_semantics]
    if len(shown) == len(probe.columns):
        return (
            "These maps help: regions predicted by a head that was fitted to them are better than those of a head "
            "that was fitted to other people's maps, and than the average person's regions, at every level."
        )
    if shown:
        return f"These maps help at {' and '.join(shown)} alone; elsewhere the controls are as good."
    return "Not shown that these maps help: other people's maps, or the average person's regions, are as good."


def text(probe: Probe) -> str:
    """Return the tables as text."""
    columns = probe.columns
    lines = [
        "mAP in percent of features that are pooled by",
        _line("", [column.name for column in columns]),
        *(_line(row, [f"{100 * column.mAP[row]:.1f}" for column in columns]) for row in ORDER if row in columns[0].mAP),
        "",
        "Difference of the last row over the others, in points of mAP, with its 95% interval over test persons",
        *(
            _line(f"over {row}", [_signed(column.over[row]) for column in columns])
            for row in COMPARED
            if row in columns[0].over
        ),
        "",
        "Cells of held-out training images whose predicted region is that of their map, in percent",
        *(
            _line(row, [f"{100 * column.right[row]:.0f}" if column.right else "" for column in columns])
            for row in (TEMPLATE, OTHERS, OWN)
        ),
        "",
        verdict(probe),
    ]
    return "\n".join(line.rstrip() for line in lines)


def plain(probe: Probe) -> dict[str, Any]:
    """Return the result as plain values, for JSON: fractions."""
    columns = {
        column.name: {
            "mAP": column.mAP,
            "rank1": column.rank1,
            "ridge": column.ridge,
            "over": {row: one._asdict() for row, one in column.over.items()},
            "cells_right": column.right,
            "shows_semantics": column.shows_semantics,
        }
        for column in probe.columns
    }
    return {**probe.about, "levels": columns, "verdict": verdict(probe)}


def _line(name: str, cells: list[str]) -> str:
    return f"  {name:52}" + "".join(f"{cell:>20}" for cell in cells)


def _signed(difference: Interval) -> str:
    return f"{100 * difference.mean:+.1f} [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"
