"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), with sparse encodings, a few rows at a time.

A picture's encoding (equation 7) has an entry for each member of its k-reciprocal set, some 20 to 100 of all N. Kept
sparse it takes N times that, where the common implementation keeps N × N matrices. Numbers are those of the authors'
code: distances are squared and divided by the greatest of their row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from dsa_app.config import config
from dsa_reid.metric import distances

from .distmat import GIB, Block, Metric, Rows, check_rows, distance_rows

ROWS = 256  # pictures whose sets are found together, fewer where sets are large


@config
class RerankConfig:
    """Off by default, as in the paper.

    Attributes:
        on: whether to re-rank.
        k1: neighbours among which reciprocal ones are looked for.
        k2: nearest neighbours over which encodings are averaged (local query expansion); 1 for none.
        weight: of the first distance beside the Jaccard distance, λ of equation 12.
    """

    on: bool = False
    k1: PositiveInt = 20
    k2: PositiveInt = 6
    weight: Annotated[float, Field(ge=0, le=1)] = 0.3


@dataclasses.dataclass(frozen=True)
class Encodings:
    """Sparse rows: those of picture i are entries start[i] to start[i + 1], `places` ascending, with `weights`."""

    start: np.ndarray
    places: np.ndarray
    weights: np.ndarray

    def row(self, picture: int) -> slice:
        """Return where a picture's entries lie."""
        return slice(self.start[picture], self.start[picture + 1])


def reranked(
    query: Rows, gallery: Rows, settings: RerankConfig, metric: Metric, device: torch.device, memory: float
) -> Iterator[Block]:
    """Yield the re-ranked distance matrix by rows; arguments and errors as for `distmat.blocks`.

    Takes all features into memory, and beside them `memory` GiB and some kilobytes a picture.
    """
    check_rows(query, gallery)
    Q, G = query.shape[0], gallery.shape[0]
    features = np.concatenate([query[0:Q], gallery[0:G]]).astype(np.float32, copy=False)  # (N, D)
    rank, greatest = neighbours(features, max(settings.k1 + 1, settings.k2), metric, device, memory)
    encodings = averaged(encode(features, rank, greatest, settings.k1, metric), rank[:, : settings.k2])
    lists = inverted(encodings, first=Q)
    height = max(1, int(memory * GIB) // (12 * G))  # distances, and counts in float64

    def mixed(some: slice) -> np.ndarray:
        distmat = distance_rows(features[some], features[Q:], metric, device)  # (n, G)
        distmat *= distmat
        distmat *= settings.weight / greatest[some, None]
        for row, picture in zip(distmat, range(some.start, some.stop), strict=True):
            row += (1 - settings.weight) * jaccard(encodings, lists, picture, G)
        return distmat

    for start in range(0, Q, height):
        some = slice(start, min(start + height, Q))
        yield some, mixed(some)


def neighbours(
    features: np.ndarray, count: int, metric: Metric, device: torch.device, memory: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return every picture's nearest `count`, itself among them, (N, count), and its greatest squared distance, (N)."""
    N = len(features)
    everything = torch.from_numpy(features).to(device)
    height = max(1, int(memory * GIB) // (8 * N))
    ranks, greatest = [], []
    for start in range(0, N, height):
        distmat = distances(everything[start : start + height], everything, metric)
        ranks.append(distmat.topk(min(count, N), largest=False).indices.cpu().numpy())
        greatest.append(distmat.amax(1).square().cpu().numpy())
    return np.concatenate(ranks), np.maximum(np.concatenate(greatest), np.finfo(np.float32).tiny)


def reciprocal(rank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k + 1 nearest of all pictures, (N, k + 1), and which of these have them among theirs (equation 3)."""
    near = rank[:, : k + 1]
    mutual = [
        (near[near[start : start + ROWS]] == np.arange(start, min(start + ROWS, len(near)))[:, None, None]).any(2)
        for start in range(0, len(near), ROWS)
    ]
    return near, np.concatenate(mutual)


def encode(features: np.ndarray, rank: np.ndarray, greatest: np.ndarray, k1: int, metric: Metric) -> Encodings:
    """Return the encodings of all pictures: exp(−distance) on their extended k-reciprocal sets, summing to 1."""
    near, mutual = reciprocal(rank, k1)
    half_near, half_mutual = reciprocal(rank, round(k1 / 2))
    counts, places, weights = [], [], []
    height = max(1, min(ROWS, 2**27 // near.shape[1] ** 3))  # a picture's comparisons take half a cube of bytes
    for start in range(0, len(rank), height):
        some = slice(start, start + height)
        extended = _extended(near[some], mutual[some], half_near, half_mutual)
        for picture, members in enumerate(extended, start):
            others = distances(
                torch.from_numpy(features[picture : picture + 1]), torch.from_numpy(features[members]), metric
            )
            weight = np.exp(-(others[0].numpy() ** 2) / greatest[picture])
            counts.append(len(members))
            places.append(members)
            weights.append(weight / weight.sum())
    return Encodings(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(places), np.concatenate(weights))


def _extended(
    near: np.ndarray, mutual: np.ndarray, half_near: np.ndarray, half_mutual: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the extended set of each of n pictures (equation 5), ascending.

    A member's own set of half the size joins if more than two thirds of it are members already.
    """
    members = np.where(mutual, near, -1)  # (n, k1 + 1)
    halves = np.where(half_mutual, half_near, -2)[near]  # (n, k1 + 1, k1 / 2 + 1)
    shared = (halves[..., None] == members[:, None, None, :]).any(3).sum(2)  # (n, k1 + 1)
    joins = mutual & (shared > 2 / 3 * half_mutual.sum(1)[near])
    for own, candidates, joining in zip(members, halves, joins, strict=True):
        found = np.unique(np.concatenate([own, candidates[joining].ravel()]))
        yield found[found >= 0]


def averaged(encodings: Encodings, rank: np.ndarray) -> Encodings:
    """Return each picture's mean encoding over its k2 nearest, `rank` (N, k2) (equation 11)."""
    if rank.shape[1] == 1:
        return encodings
    counts, places, weights = [], [], []
    for nearest in rank:
        rows = [encodings.row(picture) for picture in nearest]
        members, where = np.unique(np.concatenate([encodings.places[row] for row in rows]), return_inverse=True)
        weight = np.bincount(where, np.concatenate([encodings.weights[row] for row in rows]))
        counts.append(len(members))
        places.append(members)
        weights.append((weight / len(nearest)).astype(np.float32))
    return Encodings(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(places), np.concatenate(weights))


def inverted(encodings: Encodings, first: int) -> Encodings:
    """Return, for each place, the pictures from `first` on that have an entry there, counted from `first`."""
    N = len(encodings.start) - 1
    begin = encodings.start[first]
    pictures = np.repeat(np.arange(N - first), np.diff(encodings.start[first:]))
    order = np.argsort(encodings.places[begin:], kind="stable")
    counts = np.bincount(encodings.places[begin:], minlength=N)
    start = np.concatenate([[0], np.cumsum(counts)])
    return Encodings(start, pictures[order], encodings.weights[begin:][order])


def jaccard(encodings: Encodings, lists: Encodings, picture: int, G: int) -> np.ndarray:
    """Return the Jaccard distance of a picture's encoding to those of the gallery: (G,), equation 10.

    As both sum to 1, the union's minimum and maximum follow from the minimum alone.
    """
    row = encodings.row(picture)
    entries = [lists.row(place) for place in encodings.places[row]]
    own = np.repeat(encodings.weights[row], [entry.stop - entry.start for entry in entries])
    there = np.concatenate([lists.places[entry] for entry in entries])
    theirs = np.concatenate([lists.weights[entry] for entry in entries])
    shared = np.bincount(there, np.minimum(own, theirs), minlength=G)
    return 1 - shared / (2 - shared)
