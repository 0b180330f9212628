"""Region sensitivity: how much each feature of a main stream changes when a body region is masked.

All pixels of a region are replaced by the mean colour, and 1 - cos of each feature before and after is its change.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_data.charts import BODY_REGIONS
from dsa_reid.preprocessing import Preprocessing

from .body_maps import REGIONS
from .features import GLOBAL, Network, change, feature_names, split, symbol

LOCAL = len(BODY_REGIONS)  # local features, and body regions, in the same order
LEAST = 0.002  # share of the image's pixels from which on a region counts as visible

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Diagonal:
    """Whether each local feature depends on the region that it is named after.

    Attributes:
        share: of a local feature's changes by all eight regions, by size, that by its own region; the mean over
            features.
        chance: the mean of `share` over all orders of the features: 1 / 8.
        p: the part of those 40,320 orders with at least this `share`.
        features: how many of the eight features change most by their own region; by chance 1.
        regions: how many of the eight regions change their own feature most; by chance 1.
        own: the share of each local feature, of which `share` is the mean.
    """

    share: float
    chance: float
    p: float
    features: int
    regions: int
    own: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """The region sensitivity of one network.

    Attributes:
        features: names of its F features, the rows.
        change: (F, 9), the mean of 1 - cos over the images in which a region is visible; NaN where it is in none.
        by_size: (F, 9), the same over the mean share of the image's pixels that the region has there.
        images: (9,), in how many images each region is visible.
        between_people: (F,), the mean of 1 - cos between images of two people.
    """

    features: Sequence[str]
    change: Reals
    by_size: Reals
    images: NDArray[np.int64]
    between_people: Reals

    @functools.cached_property
    def diagonal(self) -> Diagonal | None:
        """The diagonal of `by_size` in one number; None without local features, or if a region is in no image."""
        local = self.by_size[-LOCAL:, :LOCAL]
        if self.features[-1] == GLOBAL or np.isnan(local).any():
            return None
        return diagonal(local)

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""

        def rows(values: Reals) -> dict[str, dict[str, float | None]]:
            cells = [[None if np.isnan(one) else float(one) for one in row] for row in values]
            return {
                feature: dict(zip(REGIONS, row, strict=True)) for feature, row in zip(self.features, cells, strict=True)
            }

        return {
            "pictures": dict(zip(REGIONS, self.images.tolist(), strict=True)),
            "reaction": rows(self.change),
            "by_size": rows(self.by_size),
            "apart": dict(zip(self.features, self.between_people.tolist(), strict=True)),
            "diagonal": dataclasses.asdict(self.diagonal) if self.diagonal else None,
        }


@torch.inference_mode()
def region_changes(
    network: Network, image: NDArray[np.uint8], masks: NDArray[np.bool_], preprocessing: Preprocessing
) -> torch.Tensor:
    """Return 1 - cos of each feature when a region of an image is masked, region by region: float64 (R, F).

    Args:
        network: in evaluation mode.
        image: uint8 (H, W, 3) RGB, of any size: it is masked before it is resized, so that no colour of the region
            is left at its edge.
        masks: bool (R, H, W).
        preprocessing: of the network.
    """
    mean = np.rint(255 * np.array(preprocessing.mean)).astype(np.uint8)
    images = [image, *(np.where(mask[..., None], mean, image) for mask in masks)]
    resized = torch.stack([preprocessing.resize(torch.from_numpy(one)) for one in images])
    features = split(network(preprocessing.normalise(resized)))
    return change([one[:1] for one in features], [one[1:] for one in features]).cpu()


def sensitivity(
    features: Sequence[str], changes: Reals, sizes: Reals, between_people: Reals, least: float = LEAST
) -> Sensitivity:
    """Return the mean changes over images.

    Args:
        features: names of the F features.
        changes: (N, 9, F), of N images.
        sizes: (N, 9), shares of the images' pixels.
        between_people: (F,), see `features.change_between_people`.
        least: share from which on a region counts as visible.
    """
    visible = sizes >= least  # (N, 9)
    count = visible.sum(0)
    with np.errstate(invalid="ignore"):
        mean = (changes * visible[..., None]).sum(0) / count[:, None]  # (9, F)
        by_size = mean / ((sizes * visible).sum(0) / count)[:, None]
    return Sensitivity(features, mean.T, by_size.T, count, between_people)


def diagonal(matrix: Reals) -> Diagonal:
    """Return the diagonal of a matrix in numbers: a row a local feature, a column a region in the same order.

    Every row is scaled to sum 1 (a feature that no region changes counts as even), so that the mean over all orders of
    the rows is 1 / 8 whatever the matrix: that is chance, for features whose names mean nothing.
    """
    whole = matrix.sum(1, keepdims=True)
    rows = np.divide(matrix, whole, out=np.full_like(matrix, 1 / len(matrix)), where=whole > 0)
    orders = np.array(list(itertools.permutations(range(len(matrix)))), np.int8)  # (n!, n)
    share = rows[orders, np.arange(len(matrix))].mean(1)  # (n!,), the first is of the features' own order
    own = np.arange(len(matrix))
    return Diagonal(
        float(share[0]),
        float(share.mean()),
        float((share >= share[0] - 1e-12).mean()),
        int((matrix.argmax(1) == own).sum()),
        int((rows.argmax(0) == own).sum()),
        tuple(np.diag(rows).tolist()),
    )


def text(by_network: Mapping[str, Sensitivity]) -> str:
    """Return the tables of one or more networks as text, their numbers side by side in each cell.

    Numbers are parts of `between_people`, which differs from network to network, as the part that all features have in
    common does.
    """
    networks = by_network.values()
    features = [name for name in feature_names("both") if any(name in one.features for one in networks)]
    counts = next(iter(networks)).images
    lines = [f"In each cell: {' | '.join(by_network)}", ""]
    for title, field, scale, numbers in TABLES:
        lines += [title, _line("", REGIONS)]
        for feature in features:
            cells = [
                "|".join(_value(one, field, feature, column, scale, numbers) for one in networks)
                for column in range(len(REGIONS))
            ]
            lines.append(_line(f"{symbol(feature)} {feature}", cells))
        lines.append("")
    lines += [_line("images", counts), ""]
    lines.append(
        "Own region: its part of a local feature's changes by all eight, by size. Chance is 12.5%; p over all orders."
    )
    lines += [_line("in percent", REGIONS[:LOCAL]), _line("own region", _own(list(networks))), ""]
    lines += [f"{name}: {_sentence(one.diagonal)}" for name, one in by_network.items()]
    return "\n".join(lines)


TABLES = (
    ("Change: 1 - cos when a region is masked, in percent of that between two people", "change", 100, "{:5.1f}"),
    ("By size: that divided by the region's percentage of the image", "by_size", 1, "{:5.2f}"),
)
"""What the text shows: title, field of `Sensitivity`, factor, how a number is written."""


def _line(name: str, cells: Iterable[object]) -> str:
    return f"{name:17}" + "".join(f"{cell!s:>13}" for cell in cells)


def _own(networks: Sequence[Sensitivity]) -> list[str]:
    """Return a cell for each region: its share of the changes of the local feature of its name, by network."""
    shares = [one.diagonal.own if one.diagonal else None for one in networks]
    return [
        "|".join("    -" if own is None else f"{100 * own[region]:5.1f}" for own in shares) for region in range(LOCAL)
    ]


def _value(one: Sensitivity, field: str, feature: str, column: int, scale: float, numbers: str) -> str:
    if feature not in one.features:
        return "    -"
    row = one.features.index(feature)
    value = float(getattr(one, field)[row, column] / one.between_people[row])
    return "    -" if np.isnan(value) else numbers.format(scale * value)


def _sentence(diagonal: Diagonal | None) -> str:
    if diagonal is None:
        return "no number, since the network has no local features, or a region is in no image"
    return (
        f"{100 * diagonal.share:.1f}% (p = {diagonal.p:.3f}); {diagonal.features} of {LOCAL} features change most by "
        f"their own region, {diagonal.regions} of {LOCAL} regions change their own feature most"
    )
