"""Joining features, and distances between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .config import REGIONS
from .errors import ModelError

LEAST = 1e-6  # of the weights of a mean
SAMPLE = 1000  # images whose distances say what is usual


class Unseen(NamedTuple):
    """What a region counts for that not both images show.

    Attributes:
        share: of the weight that it lacks, 0 to 1.
        usual: float (8,), the distance of each region at which it counts, as of `usual_distances`.
    """

    share: float
    usual: torch.Tensor


def join(*features: torch.Tensor | None) -> torch.Tensor:
    """Return features concatenated, each divided by its length.

    Args:
        features: (B, D) or (B, 8, L), the latter as one feature of 8·L dimensions; None is left out.

    Returns float (B, ΣD).
    """
    return torch.cat([F.normalize(feature.flatten(1)) for feature in features if feature is not None], dim=1)


def distances(
    a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray, metric: Literal["euclidean", "cosine"] = "euclidean"
) -> torch.Tensor:
    """Return the distance of every row of `a` to every row of `b`; smaller is more similar.

    A row of the result depends only on its row of `a`, so that a large `a` may be computed in blocks.

    Args:
        a: float (Q, D), as from `Model.embed`; a tensor, or an array as for `search`.
        b: float (G, D), a tensor or an array.
        metric: Euclidean, ≥ 0, or cosine: one minus the cosine of the angle, in 0..2.

    Returns a tensor, float (Q, G). Raises ModelError for features of different dimensions, for features that are not
    finite, and for another metric.
    """
    a, b = as_tensor(a), as_tensor(b)
    check_finite(a, "the first features")
    check_finite(b, "the second features")
    return pairwise(a, b, metric)


def pairwise(a: torch.Tensor, b: torch.Tensor, metric: str) -> torch.Tensor:
    """Return what `distances` returns, of tensors; a row that is not finite gives distances that are not."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ModelError(
            f"Features of shape {tuple(a.shape)} and {tuple(b.shape)} cannot be compared: "
            "expected (Q, D) and (G, D). Embed both with the same model."
        )
    with torch.autocast(a.device.type, enabled=False):
        if metric == "cosine":
            return 1 - F.normalize(a) @ F.normalize(b).T
        if metric == "euclidean":
            # |a - b|² = |b|² - 2 a·b + |a|², in place: (Q, G) may be most of the memory. Rounding may leave a small
            # negative number where a = b.
            squared = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
            return squared.add_(a.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_()
    raise ModelError(f"metric = {metric!r} is invalid: expected 'euclidean' or 'cosine'.")


def visible_distances(
    a: torch.Tensor | np.ndarray,
    b: torch.Tensor | np.ndarray,
    parts: Mapping[str, int],
    unseen: Unseen | None = None,
) -> torch.Tensor:
    """Return the distance of every row of `a` to every row of `b` over what is visible in both images.

    The weighted mean of the distances of the global features and of the eight local ones, each of length one: the
    weight w of a region is the root of the product of both visibilities, that of the global feature is 1 (Somers et al.
    2023, equation 7). With `unseen` each region has the weight share · (1 - w) at its usual distance besides: two
    images that show little in common are then as far from each other as others are, and not near by the little.

    Args:
        a: float (Q, D), as from `Model.embed` with visibility.
        b: float (G, D).
        parts: `Model.parts_with_visibility`, which gives the columns.
        unseen: what a region counts for that not both show; None for nothing.

    Returns a tensor, float (Q, G). Raises ModelError for features without local part or visibility, of other
    dimensions, or not finite.
    """
    a, b = as_tensor(a), as_tensor(b)
    check_finite(a, "the first features")
    check_finite(b, "the second features")
    return visible_pairwise(a, b, parts, None if unseen is None else _checked(unseen))


def _checked(unseen: Unseen) -> Unseen:
    """Return it with a tensor. Raises ModelError for a share beyond 0..1, and for other than eight distances."""
    share, usual = unseen.share, as_tensor(unseen.usual)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ModelError(f"Unseen.share = {share!r} is invalid: expected a number from 0 to 1.")
    if usual.shape != (REGIONS,) or not (usual.isfinite() & (usual >= 0)).all():
        raise ModelError(
            f"Unseen.usual is invalid: expected {REGIONS} distances, one a region, 0 or more. Take those of "
            "usual_distances."
        )
    return Unseen(share, usual)


def usual_distances(gallery: torch.Tensor | np.ndarray, parts: Mapping[str, int]) -> torch.Tensor:
    """Return the mean distance of each region between two images of a gallery, whatever they show: float (8,).

    Args:
        gallery: float (N, D), as from `Model.embed` with visibility; 1,000 evenly spread rows are used.
        parts: `Model.parts_with_visibility`.

    Raises ModelError as `visible_distances`, and for fewer than two images.
    """
    if len(gallery) < 2:
        raise ModelError(
            f"A gallery of {len(gallery)} images has no usual distances: at least two are needed. Leave out what is "
            "not seen: evaluate.unseen=0."
        )
    rows = as_tensor(gallery)[evenly_spread(len(gallery))]
    check_finite(rows, "the gallery")
    _check_visible(rows, rows, parts)
    local = divided(rows, parts)[1]
    pairs = len(rows) * (len(rows) - 1)  # an image and itself are at 0
    regions = [pairwise(local[:, region], local[:, region], "euclidean") for region in range(REGIONS)]
    return torch.stack([one.fill_diagonal_(0).sum() / pairs for one in regions])


def evenly_spread(count: int) -> list[int]:
    """Return the indices of at most `SAMPLE` of `count` rows."""
    number = min(count, SAMPLE)
    return [n * count // number for n in range(number)]


def visible_pairwise(
    a: torch.Tensor, b: torch.Tensor, parts: Mapping[str, int], unseen: Unseen | None = None
) -> torch.Tensor:
    """Return what `visible_distances` returns, of tensors; a row that is not finite gives distances that are not."""
    _check_visible(a, b, parts)
    with torch.autocast(a.device.type, enabled=False):
        (global_a, local_a, seen_a), (global_b, local_b, seen_b) = (divided(rows, parts) for rows in (a, b))
        total = torch.zeros(len(a), len(b), dtype=a.dtype, device=a.device)
        weights = torch.full_like(total, LEAST)
        if global_a is not None and global_b is not None:
            total += pairwise(global_a, global_b, "euclidean")
            weights += 1
        for region in range(REGIONS):  # one by one: eight matrices of distances may not fit
            weight = seen_a[:, region, None] * seen_b[None, :, region]
            total += weight * pairwise(local_a[:, region], local_b[:, region], "euclidean")
            weights += weight
            if unseen is not None:
                lacking = unseen.share * (1 - weight).clamp_(min=0)
                total += lacking * unseen.usual[region].to(a.device)
                weights += lacking
        return total / weights


def _check_visible(a: torch.Tensor, b: torch.Tensor, parts: Mapping[str, int]) -> None:
    """Raise ModelError unless features have a local part and visibilities, as their parts say."""
    if not {"local", "visibility"} <= parts.keys():
        raise ModelError(
            "These features have no visibility of regions. Use a model that was trained with local_pooling 'regions', "
            "and embed with visibility."
        )
    width = sum(parts.values())
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != width or b.shape[1] != width:
        raise ModelError(
            f"Features of shape {tuple(a.shape)} and {tuple(b.shape)} do not have the parts {dict(parts)}. Embed both "
            "with the same model, with visibility."
        )


def divided(rows: torch.Tensor, parts: Mapping[str, int]) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """Return the global feature (N, G), if any, the local ones (N, 8, L), of length one, and roots of visibilities."""
    by_name = dict(zip(parts, rows.split(list(parts.values()), dim=1), strict=True))
    whole = by_name.get("global")
    local = F.normalize(by_name["local"].unflatten(1, (REGIONS, -1)), dim=2)
    return None if whole is None else F.normalize(whole), local, by_name["visibility"].clamp(min=0).sqrt()


def as_tensor(features: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return features as a tensor, float32 or float64, where they are. Raises ModelError for other types."""
    if isinstance(features, np.ndarray) and features.dtype.kind in "fiu":
        wide = features.dtype if features.dtype == np.float64 else np.float32
        rows = np.ascontiguousarray(features, wide)
        features = torch.from_numpy(rows if rows.flags.writeable else rows.copy())  # torch wants no read-only memory
    if not isinstance(features, torch.Tensor):
        kind = features.dtype if isinstance(features, np.ndarray) else type(features).__name__
        raise ModelError(f"Features of type {kind} cannot be compared: expected a tensor or an array of numbers.")
    return features.to(torch.promote_types(features.dtype, torch.float32))


def check_finite(features: torch.Tensor, name: str) -> None:
    """Raise ModelError unless all numbers of features (N, D) are finite; `name` says which features they are."""
    if torch.isfinite(features.sum()):  # one number, where a mask would take as much memory as the features
        return
    broken = (~torch.isfinite(features)).any(1).nonzero()
    if len(broken):
        raise not_finite(int(broken[0]), name)


def not_finite(row: int, name: str) -> ModelError:
    """Return the error of a row of features that holds NaN or infinity; `name` says of which features."""
    return ModelError(
        f"Row {row} of {name} holds NaN or infinity: it has no distance to anything. Leave it out, or check the model "
        "that made it."
    )
