"""What an evaluation found for each query, and rankings, as rows for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsa_reid.visible import describe

from .matches import Matches
from .metrics import Result
from .rankings import Ranking
from .retrieval import Side

QUERY_COLUMNS = ("query", "pid", "camid", "ap", "first_rank", "matches")


def query_rows(query: Side, result: Result, matches: Matches) -> list[dict[str, Any]]:
    """Return a row a query: its path, identity and camera, average precision, and the rank of its first match.

    `ap` and `first_rank` are NaN for a query without a match. Over sampled galleries both are means.
    """
    first = first_ranks(matches, len(query.records))
    counts = matches.counts.reshape(len(query.records), -1).sum(1)
    rows = zip(query.records, result.ap.tolist(), first.tolist(), counts.tolist(), strict=True)
    return [
        {"query": one.key, "pid": one.pid, "camid": one.camid, "ap": ap, "first_rank": rank, "matches": count}
        for one, ap, rank, count in rows
    ]


def first_ranks(matches: Matches, queries: int) -> NDArray[np.float64]:
    """Return the rank of each query's first match (Q,), the mean over sampled galleries; NaN where it has none."""
    first = np.full(len(matches.counts), np.nan)
    first[matches.counts > 0] = matches.ranks[matches.starts]
    return np.asarray(first.reshape(queries, -1).mean(1))


def ranking_rows(rankings: Sequence[Ranking]) -> Iterator[dict[str, Any]]:
    """Yield a row for each image of each ranking; `rank` is None where the cross-camera rule leaves an image out."""
    for ranking in rankings:
        for place, hit in enumerate(ranking.hits, start=1):
            seen = {} if hit.seen is None else {"seen": sum(hit.seen) / len(hit.seen), "compared": describe(hit.seen)}
            yield {
                "query": ranking.query.key,
                "query_pid": ranking.query.pid,
                "query_camid": ranking.query.camid,
                "place": place,
                "rank": hit.rank,
                "image": hit.record.key,
                "pid": hit.record.pid,
                "camid": hit.record.camid,
                "distance": hit.distance,
                "correct": hit.correct,
                **seen,
            }
