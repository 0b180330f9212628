"""Which queries the report shows, and which identities are confused or found least."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dsa_data.records import Record

from ..evaluation.rankings import Ranking

DISTRACTOR = 0  # identity of images that show none of the people


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A query on the page and why it is there: best, worst, between, changed."""

    key: str
    groups: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Confused:
    """Two identities of which one stands before the right images of the other.

    Args:
        times: how often an image of one is before the first right image of a query of the other.
        query, other: an image of each, of the nearest such pair.
        distance: of these two.
    """

    times: int
    query: Record
    other: Record
    distance: float


@dataclasses.dataclass(frozen=True)
class Person:
    """An identity of the queries, with the mean of their average precision."""

    pid: int
    ap: float
    queries: int


def choose(runs: Sequence[Sequence[Ranking]], count: int) -> list[Chosen]:
    """Return the `count` best, worst and in-between queries of the first run, and those that others change most.

    In-between queries are spread evenly over the average precision of the rest. The order is that of the first run's
    average precision, the worst first; a query without a match comes in none.

    Args:
        runs: the rankings of each run, of the same queries.
        count: of each kind.
    """
    scores = [{one.query.key: one.ap for one in rankings} for rankings in runs]
    ordered = sorted((key for key, ap in scores[0].items() if np.isfinite(ap)), key=lambda key: (scores[0][key], key))
    groups: dict[str, list[str]] = {}

    def add(keys: Sequence[str], group: str) -> None:
        for key in keys:
            groups.setdefault(key, []).append(group)

    add(ordered[:count], "worst")
    add(ordered[::-1][:count], "best")
    middle = ordered[count:-count] if count else []
    if middle:
        places = np.unique(np.linspace(0, len(middle) - 1, min(count, len(middle))).round().astype(int))
        add([middle[place] for place in places.tolist()], "between")
    if len(runs) > 1:
        change = {key: max(abs(other.get(key, np.nan) - scores[0][key]) for other in scores[1:]) for key in ordered}
        changed = [key for key in ordered if change[key] > 0]
        add(sorted(changed, key=lambda key: (-change[key], key))[:count], "changed")
    return [Chosen(key, tuple(groups[key])) for key in ordered if key in groups]


def confused(rankings: Sequence[Ranking], count: int) -> list[Confused]:
    """Return the pairs of identities that are confused most often, the most frequent first.

    A query confuses its person with another where an image of the other comes before its first right image, among the
    images that a ranking lists. Distractors, who are no one identity, are not counted.
    """
    times: Counter[tuple[int, int]] = Counter()
    nearest: dict[tuple[int, int], tuple[float, Record, Record]] = {}
    for ranking in rankings:
        seen = set()
        for hit in ranking.hits:
            if hit.correct and hit.rank is not None:
                break
            if hit.correct or hit.record.pid <= DISTRACTOR:
                continue
            pair = min(ranking.query.pid, hit.record.pid), max(ranking.query.pid, hit.record.pid)
            if pair not in nearest or hit.distance < nearest[pair][0]:
                nearest[pair] = hit.distance, ranking.query, hit.record
            seen.add(pair)
        times.update(seen)
    found = [Confused(n, nearest[pair][1], nearest[pair][2], nearest[pair][0]) for pair, n in times.items()]
    return sorted(found, key=lambda one: (-one.times, one.distance, one.query.key))[:count]


def hardest(rankings: Sequence[Ranking], count: int) -> list[Person]:
    """Return the identities whose queries have the lowest mean of average precision, the lowest first."""
    scores: dict[int, list[float]] = {}
    for ranking in rankings:
        if np.isfinite(ranking.ap):
            scores.setdefault(ranking.query.pid, []).append(ranking.ap)
    people = [Person(pid, float(np.mean(some)), len(some)) for pid, some in scores.items()]
    return sorted(people, key=lambda one: (one.ap, one.pid))[:count]
