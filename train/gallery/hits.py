"""What a search of a gallery finds: hits for each query, and rows of them for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dsa_reid.regions import Explanation
from dsa_reid.visible import describe


class Hit(NamedTuple):
    """A gallery image near a query: its key, distance, and whether it shows the query's person; None if unknown.

    `probability` is that it does, if one image in the gallery may as well as nobody's; None without calibration. `seen`
    is how much of each of the eight regions both show; None for features without visibilities.
    """

    key: str
    distance: float
    correct: bool | None = None
    probability: float | None = None
    seen: tuple[float, ...] | None = None


class QueryResult(NamedTuple):
    """A query's path and its hits, nearest first.

    `presence` is the probability that the person is in the gallery; None without calibration. `nobody` is whether it is
    below the least probability that was asked for; there are no hits then. `proved` is whether no other image of the
    gallery is nearer; False where that is not known.
    """

    query: str
    hits: Sequence[Hit]
    explanation: Explanation | None = None
    presence: float | None = None
    nobody: bool = False
    proved: bool = False


def hit_rows(results: Sequence[QueryResult]) -> list[dict[str, Any]]:
    """Return a row a hit, for other programs; a query that nobody answers has one without an image."""
    rows = []
    for result in results:
        for place, hit in enumerate(result.hits or [None], start=1):
            row: dict[str, Any] = {
                "query": result.query,
                "place": place if hit else None,
                "image": hit.key if hit else None,
            }
            row |= {"distance": hit.distance if hit else None, "correct": hit.correct if hit else None}
            row |= {"probability": hit.probability if hit else None, "presence": result.presence}
            row |= {"nobody": result.nobody}
            if hit and hit.seen is not None:
                row |= {"seen": sum(hit.seen) / len(hit.seen), "compared": describe(hit.seen)}
            rows.append(row)
    return rows
