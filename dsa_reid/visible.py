"""Search by distances that compare what both images show, and how much that is.

`visible_distances` weighs the distance of each region by r_i r'_i, the roots of both visibilities, and that of the
global feature by 1. No vector has these distances as its Euclidean ones, so FAISS searches vectors that bound them from
below (`VisibleRows`), and the distances of its candidates are computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from .body import REGION_NAMES
from .config import REGIONS
from .errors import ModelError
from .metric import LEAST, Unseen, as_tensor, check_finite, divided, visible_pairwise
from .nearest import BLOCK, Ranking, Rows, search_index

SHOWN = 0.5  # visibility in both images from which on a region is named
PAIRS = {"upper legs": "legs", "lower legs": "legs", "upper arms": "arms", "lower arms": "arms"}
SLACK = 1e-4  # of float32 rounding in a bound


class Proved(NamedTuple):
    """The nearest images by visible distances, found through an index.

    Attributes:
        ranking: distances and indices, as of `visible_search`.
        proved: bool (Q,), whether no other image of the gallery can be nearer.
    """

    ranking: Ranking
    proved: np.ndarray


def seen_in_both(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray, parts: Mapping[str, int]) -> torch.Tensor:
    """Return how much of each region every row of `a` and every row of `b` both show: the smaller visibility.

    Args:
        a: float (Q, D), as from `Model.embed` with visibility.
        b: float (G, D).
        parts: `Model.parts_with_visibility`.

    Returns float (Q, G, 8), 0 to 1; its mean over the regions is the share of the body that both show. Raises
    ModelError for features without visibility, or not finite.
    """
    rows = [as_tensor(features) for features in (a, b)]
    for features, name in zip(rows, ("the first features", "the second features"), strict=True):
        check_finite(features, name)
        _check_parts(features, parts)
    first, second = (features[:, -REGIONS:].clamp(0, 1) for features in rows)
    return torch.minimum(first[:, None], second[None])


def describe(seen: Sequence[float]) -> str:
    """Return in words what a pair was compared by, as in "compared by torso, legs and head; 41% of the body was seen in
    both".

    Args:
        seen: how much of each of the eight regions both images show, a row of `seen_in_both`.
    """
    shown = {name for name, value in zip(REGION_NAMES, seen, strict=True) if value >= SHOWN}
    whole = {word for word in PAIRS.values() if shown >= {name for name, of in PAIRS.items() if of == word}}
    names = list(dict.fromkeys(PAIRS[one] if PAIRS.get(one) in whole else one for one in REGION_NAMES if one in shown))
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    share = f"{100 * sum(seen) / REGIONS:.0f}% of the body was seen in both"
    return f"compared by {listed}; {share}" if names else f"no region is seen well in both; {share}"


def visible_search(
    query: np.ndarray | torch.Tensor,
    gallery: Rows,
    parts: Mapping[str, int],
    top: int = 10,
    least: float = 0.0,
    block: int = BLOCK,
) -> Ranking:
    """Return the `top` nearest rows of a gallery for every query by `visible_distances`: exact, a block at a time.

    Args:
        query: float (Q, D), as from `Model.embed` with visibility.
        gallery: (N, D), in memory or on disk.
        parts: `Model.parts_with_visibility`.
        least: share of the body, 0 to 1, that both images have to show. Other images are no answer: their distance is
            inf and their index -1.

    Raises ModelError for features without visibility, of other dimensions, or not finite, and for `top` below 1.
    """
    if top < 1:
        raise ModelError(f"top = {top} is invalid: expected 1 or more.")
    rows = as_tensor(query).float()
    check_finite(rows, "the queries")
    _check_parts(rows, parts)
    best = torch.empty(len(rows), 0)
    indices = torch.empty(len(rows), 0, dtype=torch.int64)
    for start in range(0, gallery.shape[0], block):
        piece = as_tensor(gallery[start : start + block]).float()
        check_finite(piece, "the gallery")
        distances = abstained(rows, piece, parts, least)  # (Q, block)
        best = torch.cat([best, distances], 1)
        indices = torch.cat([indices, torch.arange(start, start + len(piece)).expand(len(rows), -1)], 1)
        order = best.argsort(dim=1, stable=True)[:, :top]  # of equal distances the first rows, whatever the block
        best, indices = best.gather(1, order), indices.gather(1, order)
    return Ranking(best.numpy(), indices.where(best.isfinite(), -1).numpy())


class VisibleRows:
    """A gallery as vectors (N, D + 1) whose Euclidean distances bound visible distances from below; for `build_index`.

    With unit parts, N2 = |G - G'|² + Σ r_i r'_i |l_i - l'_i|² = c - 2 x·y for x = (G, r_i l_i, -r_i) of a query and
    y = (G', r'_i l'_i, r'_i) of an image, c = 2 with a global feature and 0 without. No distance of unit vectors
    exceeds 2, so d ≥ d² / 2, and the visible distance is at least N2 / 2W, where W = 1 + Σ r_i r'_i is at most 1 + Σ
    r_i. One more column makes every y as long as the longest, so that the nearest are those of the greatest x·y.
    """

    def __init__(self, gallery: Rows, parts: Mapping[str, int]) -> None:
        self._gallery, self._parts = gallery, dict(parts)
        self.shape = (gallery.shape[0], sum(parts.values()) + 1)
        self.longest = ("global" in parts) + 2 * REGIONS  # |y|², where every visibility is 1

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return vectors (n, D + 1), float32."""
        features = as_tensor(self._gallery[rows]).float()
        _check_parts(features, self._parts)
        vectors = self._vectors(features, 1)
        rest = (self.longest - vectors.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
        return torch.cat([vectors, rest], 1).numpy()

    def queries(self, features: torch.Tensor) -> torch.Tensor:
        """Return the vectors of queries (Q, D + 1)."""
        return torch.cat([self._vectors(features, -1), torch.zeros(len(features), 1)], 1)

    def least(self, query: torch.Tensor, squared: torch.Tensor) -> torch.Tensor:
        """Return what visible distances are at least (Q,), for squared distances (Q,) to the vectors of queries."""
        x = self._vectors(query, -1)
        products = (x.square().sum(1) + self.longest - squared) / 2
        whole = float("global" in self._parts)
        weight = LEAST + whole + query[:, -REGIONS:].clamp(0, 1).sqrt().sum(1)
        return ((2 * whole - 2 * products) / (2 * weight) - SLACK).clamp(min=0)

    def _vectors(self, features: torch.Tensor, sign: int) -> torch.Tensor:
        whole, local, roots = divided(features, self._parts)
        vectors = [] if whole is None else [whole]
        return torch.cat([*vectors, (local * roots[:, :, None]).flatten(1), sign * roots], 1)


def search_visible_index(
    index: Any,
    query: np.ndarray | torch.Tensor,
    gallery: Rows,
    parts: Mapping[str, int],
    top: int = 10,
    least: float = 0.0,
    candidates: int = 0,
) -> Proved:
    """Return the nearest rows by visible distances among the candidates of a FAISS index.

    Args:
        index: of `build_index(VisibleRows(gallery, parts), kind)`.
        query, gallery, parts, top, least: as for `visible_search`.
        candidates: images a query whose distance is computed; ten times `top`, at least 200, if 0.

    A ranking is proved where the last candidate's bound exceeds the last distance, or all images were candidates. Other
    kinds of index than "flat" may miss candidates, so theirs are proved only in the second case.
    """
    rows = as_tensor(query).float()
    check_finite(rows, "the queries")
    _check_parts(rows, parts)
    vectors = VisibleRows(gallery, parts)
    found = search_index(index, vectors.queries(rows).numpy(), candidates or max(10 * top, 200))
    distances = np.full((len(rows), min(top, found.indices.shape[1])), np.inf, np.float32)
    indices = np.full(distances.shape, -1, np.int64)
    proved = np.zeros(len(rows), bool)
    exhaustive = type(index).__name__ == "IndexFlatL2"
    for row, some in enumerate(found.indices):
        some = np.sort(some[some >= 0])
        piece = torch.from_numpy(np.concatenate([gallery[one : one + 1] for one in some.tolist()])).float()
        exact = abstained(rows[row : row + 1], piece, parts, least)[0].numpy()
        order = np.argsort(exact, kind="stable")[: distances.shape[1]]
        distances[row, : len(order)] = exact[order]
        indices[row, : len(order)] = np.where(np.isfinite(exact[order]), some[order], -1)
        last = torch.from_numpy(found.distances[row, -1:]).square()
        bound = float(vectors.least(rows[row : row + 1], last)[0])
        everything = len(some) == gallery.shape[0]
        proved[row] = everything or (exhaustive and bool(bound >= distances[row, -1]))
    return Proved(Ranking(distances, indices), proved)


def abstained(
    query: torch.Tensor, rows: torch.Tensor, parts: Mapping[str, int], least: float, unseen: Unseen | None = None
) -> torch.Tensor:
    """Return visible distances (Q, n); inf where less than the share `least` of the body is seen in both."""
    distances = visible_pairwise(query, rows, parts, unseen)
    if least <= 0:
        return distances
    return distances.where(seen_in_both(query, rows, parts).mean(2) >= least, torch.inf)


def _check_parts(features: torch.Tensor, parts: Mapping[str, int]) -> None:
    """Raise ModelError unless features (N, D) end in visibilities, as their parts say."""
    visible_pairwise(features[:1], features[:1], parts)
