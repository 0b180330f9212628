"""What a store of maps holds, in numbers: found and not found, by split and camera, and the charts that are seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from data.store import STATUS, IuvStore

from .stage import Outcome

NAMED = 5  # skipped pictures that the summary names


def summary(store: IuvStore, outcome: Outcome) -> list[str]:
    """Return lines that say what a run made."""
    made = f"{outcome.made} maps made in {outcome.seconds:.1f} s"
    if outcome.made and outcome.seconds:
        made += f", {outcome.made / outcome.seconds:,.0f} a second"
    lines = [
        f"{store.path}: {len(store)} maps, {store.path.stat().st_size / 2**20:.1f} MiB",
        made if outcome.changed else "up to date: the same pictures, the same settings",
        counted(Counter(store.statuses)),
    ]
    if "checkpoint" in store.header.configuration:
        lines.append(f"checkpoint SHA-256 {store.header.configuration['checkpoint']}")
    if outcome.skipped:
        lines.append(f"{len(outcome.skipped)} pictures could not be read and are empty:")
        lines += [f"  {reason}" for reason in list(outcome.skipped.values())[:NAMED]]
    return lines


def counted(statuses: Mapping[str, int]) -> str:
    """Return how many pictures have each status, in words: "10 found, 2 none"."""
    order = [status for status in ("found", "fallback", "none") if status in STATUS]
    return ", ".join(f"{statuses.get(status, 0)} {status}" for status in order)
