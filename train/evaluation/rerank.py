"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), with sparse encodings, a few rows at a time.

Two images that show one person are likely to be among each other's nearest: reciprocal neighbours. The encoding of an
image (equation 7) is a weight for each member of its k-reciprocal set, and 0 for all other of the N = Q + G images;
images are compared by the Jaccard distance of their encodings. An encoding has some 20 to 100 entries, which are kept
sparse here; the common implementation keeps N x N matrices. The numbers are those of the authors' code: distances are
squared and divided by the greatest of their row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_reid.metric import pairwise

from .config import RerankConfig
from .distmat import GIB, Block, Metric, Rows, check_rows, distance_rows

ROWS = 256  # images whose sets are computed together, fewer where sets are large


@dataclasses.dataclass(frozen=True)
class Encodings:
    """Sparse rows: the entries of row i are start[i] to start[i + 1], with ascending `columns` and their `weights`."""

    start: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    def row(self, index: int) -> slice:
        """Return the entries of a row."""
        return slice(self.start[index], self.start[index + 1])


def reranked(
    query: Rows, gallery: Rows, settings: RerankConfig, metric: Metric, device: torch.device, memory: float
) -> Iterator[Block]:
    """Yield the re-ranked distance matrix by rows; arguments and errors as for `distmat.blocks`.

    All features are in memory, and besides them `memory` GiB and some kilobytes per image.
    """
    check_rows(query, gallery)
    Q, G = query.shape[0], gallery.shape[0]
    features = np.concatenate([query[0:Q], gallery[0:G]]).astype(np.float32, copy=False)  # (N, D)
    rank, greatest = neighbours(features, max(settings.k1 + 1, settings.k2), metric, device, memory)
    encodings = averaged(encode(features, rank, greatest, settings.k1, metric), rank[:, : settings.k2])
    inverse = inverted(encodings, first=Q)
    height = max(1, int(memory * GIB) // (12 * G))  # distances, and counts in float64

    def final(queries: slice) -> np.ndarray:
        """Return the final distance (equation 12): λ · original distance + (1 - λ) · Jaccard distance, (n, G)."""
        distmat = distance_rows(features[queries], features[Q:], metric, device)  # (n, G)
        distmat *= distmat
        distmat *= settings.weight / greatest[queries, None]
        for row, index in zip(distmat, range(queries.start, queries.stop), strict=True):
            row += (1 - settings.weight) * jaccard(encodings, inverse, index, G)
        return distmat

    for start in range(0, Q, height):
        queries = slice(start, min(start + height, Q))
        yield queries, final(queries)


def neighbours(
    features: np.ndarray, count: int, metric: Metric, device: torch.device, memory: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return every image's nearest `count`, itself included, (N, count), and its greatest squared distance, (N,)."""
    N = len(features)
    everything = torch.from_numpy(features).to(device)
    height = max(1, int(memory * GIB) // (8 * N))
    ranks, greatest = [], []
    for start in range(0, N, height):
        distmat = pairwise(everything[start : start + height], everything, metric)
        ranks.append(distmat.topk(min(count, N), largest=False).indices.cpu().numpy())
        greatest.append(distmat.amax(1).square().cpu().numpy())
    return np.concatenate(ranks), np.maximum(np.concatenate(greatest), np.finfo(np.float32).tiny)


def reciprocal(rank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k + 1 nearest of all images, (N, k + 1), and which of them are reciprocal neighbours (equation 3).

    j is a reciprocal neighbour of i if i is among the k + 1 nearest of j too; an image is one of itself.
    """
    near = rank[:, : k + 1]
    # near[near[i]] has the neighbours of i's neighbours: (rows, k + 1, k + 1), of which any may be i itself.
    mutual = [
        (near[near[start : start + ROWS]] == np.arange(start, min(start + ROWS, len(near)))[:, None, None]).any(2)
        for start in range(0, len(near), ROWS)
    ]
    return near, np.concatenate(mutual)


def encode(features: np.ndarray, rank: np.ndarray, greatest: np.ndarray, k1: int, metric: Metric) -> Encodings:
    """Return the encodings of all images: exp(-distance) on their extended k-reciprocal sets, summing to 1."""
    near, mutual = reciprocal(rank, k1)
    half_near, half_mutual = reciprocal(rank, round(k1 / 2))
    counts, columns, weights = [], [], []
    height = max(1, min(ROWS, 2**27 // near.shape[1] ** 3))  # an image's comparisons take half a cube of bytes
    for start in range(0, len(rank), height):
        some = slice(start, start + height)
        extended = _extended(near[some], mutual[some], half_near, half_mutual)
        for index, members in enumerate(extended, start):
            to_members = pairwise(
                torch.from_numpy(features[index : index + 1]), torch.from_numpy(features[members]), metric
            )
            weight = np.exp(-(to_members[0].numpy() ** 2) / greatest[index])
            counts.append(len(members))
            columns.append(members)
            weights.append(weight / weight.sum())
    return Encodings(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(columns), np.concatenate(weights))


def _extended(
    near: np.ndarray, mutual: np.ndarray, half_near: np.ndarray, half_mutual: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the extended k-reciprocal set of each of n images (equation 5), ascending.

    The set R(p, k1) of image p is extended by the half-sized set R(q, k1 / 2) of each member q, if more than two thirds
    of that half-sized set are in R(p, k1) already: q then stands in the same neighbourhood, and brings its neighbours.
    """
    # Absent entries are -1 in one set and -2 in the other, so that two absent ones never count as shared.
    members = np.where(mutual, near, -1)  # (n, k1 + 1), R(p, k1)
    halves = np.where(half_mutual, half_near, -2)[near]  # (n, k1 + 1, k1 / 2 + 1), R(q, k1 / 2) for each neighbour q
    shared = (halves[..., None] == members[:, None, None, :]).any(3).sum(2)  # (n, k1 + 1), |R(q, k1 / 2) ∩ R(p, k1)|
    joins = mutual & (shared > 2 / 3 * half_mutual.sum(1)[near])
    for own, candidates, joining in zip(members, halves, joins, strict=True):
        extended = np.unique(np.concatenate([own, candidates[joining].ravel()]))
        yield extended[extended >= 0]


def averaged(encodings: Encodings, rank: np.ndarray) -> Encodings:
    """Return each image's mean encoding over its k2 nearest, `rank` (N, k2): local query expansion (equation 11)."""
    if rank.shape[1] == 1:
        return encodings
    counts, columns, weights = [], [], []
    for nearest in rank:
        rows = [encodings.row(index) for index in nearest]
        # The union of the k2 rows' columns, and for each entry which of the union it belongs to: weights are summed so.
        union, where = np.unique(np.concatenate([encodings.columns[row] for row in rows]), return_inverse=True)
        weight = np.bincount(where, np.concatenate([encodings.weights[row] for row in rows]))
        counts.append(len(union))
        columns.append(union)
        weights.append((weight / len(nearest)).astype(np.float32))
    return Encodings(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(columns), np.concatenate(weights))


def inverted(encodings: Encodings, first: int) -> Encodings:
    """Return the transpose of the rows from `first` on, an inverted file.

    Row j of it lists the images, counted from `first`, whose encoding has an entry in column j, and that entry.
    """
    N = len(encodings.start) - 1
    begin = encodings.start[first]
    images = np.repeat(np.arange(N - first), np.diff(encodings.start[first:]))
    order = np.argsort(encodings.columns[begin:], kind="stable")
    counts = np.bincount(encodings.columns[begin:], minlength=N)
    start = np.concatenate([[0], np.cumsum(counts)])
    return Encodings(start, images[order], encodings.weights[begin:][order])


def jaccard(encodings: Encodings, inverse: Encodings, index: int, G: int) -> NDArray[np.float64]:
    """Return the Jaccard distance of an image's encoding to those of the gallery: (G,) (equation 10).

    It is 1 - sum of minima / sum of maxima. Both encodings sum to 1, so the maxima sum to 2 - the sum of the minima.
    """
    row = encodings.row(index)
    # Only gallery images that share a column with the image have minima above 0: the inverted file lists them, column
    # by column. `gallery` has one element for each shared entry, and bincount adds up the minima of each image.
    entries = [inverse.row(column) for column in encodings.columns[row]]
    own = np.repeat(encodings.weights[row], [entry.stop - entry.start for entry in entries])
    gallery = np.concatenate([inverse.columns[entry] for entry in entries])
    theirs = np.concatenate([inverse.weights[entry] for entry in entries])
    minima = np.bincount(gallery, np.minimum(own, theirs), minlength=G)
    return np.asarray(1 - minima / (2 - minima))
