"""The distance matrix, a block of queries at a time: never in memory as a whole, and features may stay on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import numpy as np
import torch

from dsa_app.errors import TrainingError
from dsa_reid.metric import Unseen, evenly_spread, pairwise, usual_distances
from dsa_reid.visible import abstained

GIB = 2**30
GALLERY = 4096  # rows of the gallery that are in memory together
Metric = Literal["euclidean", "cosine", "visible"]
Block = tuple[slice, np.ndarray]  # n queries, and their rows of the distance matrix, float32 (n, G)


class Rows(Protocol):
    """Features (N, D) that are sliced by rows: an array, a memory map, or a `dsa_data.stores.features.FeatureStore`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Return rows (n, D)."""


def blocks(
    query: Rows,
    gallery: Rows,
    metric: Metric,
    device: torch.device,
    memory: float,
    parts: Mapping[str, int] | None = None,
    min_seen: float = 0.0,
    unseen: float = 0.0,
) -> Iterator[Block]:
    """Yield the distance matrix of (Q, D) to (G, D) by rows, in the order of the queries.

    Args:
        memory: GiB that one block may take.
        parts: of a row, by their lengths in order, for the metric "visible".
        min_seen: share of the body that both images have to show; else their distance is infinite.
        unseen: for the metric "visible", the share of the weight that a region lacks at which it counts with its usual
            distance, see `dsa_reid.visible_distances`; the usual one is that between images of the gallery.

    Raises:
        TrainingError: for features of different lengths, an empty gallery, or features that are not numbers.
    """
    check_rows(query, gallery)
    Q, G = query.shape[0], gallery.shape[0]
    height = max(1, int(memory * GIB) // (4 * G))
    counted = usual_in(gallery, parts or {}, unseen) if metric == "visible" and unseen else None
    for start in range(0, Q, height):
        queries = slice(start, min(start + height, Q))
        yield queries, distance_rows(query[queries], gallery, metric, device, parts, min_seen, counted)


def usual_in(gallery: Rows, parts: Mapping[str, int], share: float) -> Unseen:
    """Return what regions count for that are not seen, by the distances between images of a gallery (G, D)."""
    sample = np.concatenate([gallery[row : row + 1] for row in evenly_spread(gallery.shape[0])])
    return Unseen(share, usual_distances(np.array(sample, np.float32), parts))


def stored_blocks(distances: Rows, memory: float) -> Iterator[Block]:
    """Yield a distance matrix (Q, G) that is stored, by rows, as `blocks` yields one that is computed.

    Raises TrainingError for distances that are not numbers.
    """
    Q, G = distances.shape
    # as many digits as are stored: rounded to float32, distances of float64 may become equal
    dtype = np.result_type(distances[0:1].dtype, np.float32)
    height = max(1, int(memory * GIB) // (dtype.itemsize * G))
    for start in range(0, Q, height):
        queries = slice(start, min(start + height, Q))
        distmat = np.array(distances[queries], dtype)
        check_distances(distmat)
        yield queries, distmat


def distance_rows(
    query: np.ndarray,
    gallery: Rows,
    metric: Metric,
    device: torch.device,
    parts: Mapping[str, int] | None = None,
    min_seen: float = 0.0,
    unseen: Unseen | None = None,
) -> np.ndarray:
    """Return the distances of features (n, D) to a gallery (G, D) that is read in pieces: float32 (n, G).

    Raises TrainingError for features that are not numbers.
    """
    G = gallery.shape[0]
    left = on_device(query, device)
    distmat = np.empty((len(query), G), np.float32)
    for start in range(0, G, GALLERY):
        piece = slice(start, min(start + GALLERY, G))
        right = on_device(gallery[piece], device)
        if metric == "visible":
            rows = abstained(left, right, parts or {}, min_seen, unseen)
        else:
            rows = pairwise(left, right, metric)
        distmat[:, piece] = rows.cpu().numpy()
    check_distances(distmat)
    return distmat


def check_distances(distmat: np.ndarray) -> None:
    """Raise TrainingError if distances (n, G) are not numbers."""
    broken = np.flatnonzero(np.isnan(distmat.sum(axis=1)))
    if len(broken):
        raise TrainingError(
            f"The features of {len(broken)} queries, or of gallery images, are not numbers (NaN), so they cannot be "
            "ranked. Extract them again; if they are NaN again, the network did not train properly: look at its losses."
        )


def on_device(rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return rows as float32 (n, D) on a device."""
    return torch.from_numpy(np.array(rows, np.float32, order="C")).to(device)


def check_rows(query: Rows, gallery: Rows) -> None:
    """Raise TrainingError unless every query can be compared with a gallery."""
    if not query.shape[0] or not gallery.shape[0]:
        raise TrainingError(
            f"There are {query.shape[0]} queries and {gallery.shape[0]} gallery images, and at least one of each is "
            "needed. Check the splits: dsa-data check."
        )
    if query.shape[1] != gallery.shape[1]:
        raise TrainingError(
            f"Query features have {query.shape[1]} dimensions, gallery features {gallery.shape[1]}: other models "
            "made them. Extract both with the same model."
        )
