"""Which body region moves which feature: a table of the main stream's features by the regions that are taken away.

All pixels of a region are replaced by the mean colour, and 1 - cos of each feature before and after is its reaction.
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
from .occlusion import GLOBAL, Network, change, feature_names, split, symbol

LOCAL = len(BODY_REGIONS)  # local features, and body regions, in the same order
LEAST = 0.002  # share of the picture's pixels from which on a region counts as seen in it

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Diagonal:
    """Whether each local feature reacts to the region that it is named after.

    Attributes:
        share: of a local feature's reactions to all eight regions, by size, its own region's; the mean over features.
        chance: what `share` is on average over all orders of the features: 1 / 8.
        p: the part of those 40,320 orders that give as large a `share`.
        features: how many of the eight features react to no region more than to their own; by chance 1.
        regions: how many of the eight regions move no feature more than their own; by chance 1.
    """

    share: float
    chance: float
    p: float
    features: int
    regions: int


@dataclasses.dataclass(frozen=True)
class Reactions:
    """The table of one network.

    Attributes:
        features: names of its F features, the rows.
        reaction: (F, 9), the mean of 1 - cos over the pictures in which a region is seen; NaN where it is in none.
        by_size: (F, 9), the same over the mean share of the picture's pixels that the region has there.
        pictures: (9,), in how many pictures each region is seen.
        apart: (F,), the mean of 1 - cos between pictures of two people.
    """

    features: Sequence[str]
    reaction: Reals
    by_size: Reals
    pictures: NDArray[np.int64]
    apart: Reals

    @functools.cached_property
    def diagonal(self) -> Diagonal | None:
        """The diagonal in one number; None without local features, or if a region is in no picture."""
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
            "pictures": dict(zip(REGIONS, self.pictures.tolist(), strict=True)),
            "reaction": rows(self.reaction),
            "by_size": rows(self.by_size),
            "apart": dict(zip(self.features, self.apart.tolist(), strict=True)),
            "diagonal": dataclasses.asdict(self.diagonal) if self.diagonal else None,
        }


@torch.inference_mode()
def reactions_of(
    network: Network, picture: NDArray[np.uint8], masks: NDArray[np.bool_], preprocessing: Preprocessing
) -> torch.Tensor:
    """Return 1 - cos of each feature when a region is taken out of a picture, region by region: float64 (R, F).

    Args:
        network: in evaluation mode.
        picture: uint8 (H, W, 3) RGB, of any size: what is taken away is gone before it is resized.
        masks: bool (R, H, W).
        preprocessing: what the network wants.
    """
    mean = np.rint(255 * np.array(preprocessing.mean)).astype(np.uint8)
    pictures = [picture, *(np.where(mask[..., None], mean, picture) for mask in masks)]
    resized = torch.stack([preprocessing.resize(torch.from_numpy(one)) for one in pictures])
    features = split(network(preprocessing.normalise(resized)))
    return change([one[:1] for one in features], [one[1:] for one in features]).cpu()


def table(features: Sequence[str], changes: Reals, sizes: Reals, apart: Reals, least: float = LEAST) -> Reactions:
    """Average reactions over pictures.

    Args:
        features: names of the F features.
        changes: (N, 9, F), of N pictures.
        sizes: (N, 9), shares of the pictures' pixels.
        apart: (F,), of these features, see `explain.apart`.
        least: share from which on a region counts as seen.
    """
    seen = sizes >= least  # (N, 9)
    count = seen.sum(0)
    with np.errstate(invalid="ignore"):
        reaction = (changes * seen[..., None]).sum(0) / count[:, None]  # (9, F)
        by_size = reaction / ((sizes * seen).sum(0) / count)[:, None]
    return Reactions(features, reaction.T, by_size.T, count, apart)


def diagonal(matrix: Reals) -> Diagonal:
    """Sum up a matrix of reactions, a row a local feature, a column a region in the same order.

    Every row is brought to sum 1 (a feature that reacts to nothing counts as even), so that the mean over all orders
    of the rows is 1 / 8 whatever the matrix: that is chance, for features whose names mean nothing.
    """
    whole = matrix.sum(1, keepdims=True)
    rows = np.divide(matrix, whole, out=np.full_like(matrix, 1 / len(matrix)), where=whole > 0)
    orders = np.array(list(itertools.permutations(range(len(matrix)))), np.int8)  # (n!, n)
    found = rows[orders, np.arange(len(matrix))].mean(1)  # the first is the order that there is
    own = np.arange(len(matrix))
    return Diagonal(
        float(found[0]),
        float(found.mean()),
        float((found >= found[0] - 1e-12).mean()),
        int((matrix.argmax(1) == own).sum()),
        int((rows.argmax(0) == own).sum()),
    )


def text(found: Mapping[str, Reactions]) -> str:
    """Return the tables of one or more networks as text, their numbers side by side in each cell.

    Numbers are parts of `apart`, which differs from network to network, as the features' common part does.
    """
    features = [name for name in feature_names("both") if any(name in one.features for one in found.values())]
    counted = next(iter(found.values())).pictures
    lines = [f"In each cell: {' | '.join(found)}", ""]
    for title, field, scale, numbers in TABLES:
        lines += [title, _line("", REGIONS)]
        for feature in features:
            cells = [
                "|".join(_value(one, field, feature, column, scale, numbers) for one in found.values())
                for column in range(len(REGIONS))
            ]
            lines.append(_line(f"{symbol(feature)} {feature}", cells))
        lines.append("")
    lines += [_line("pictures", counted), ""]
    lines.append(
        "A local feature's own region, by size, in its reactions to all eight: 12.5% by chance; p over all orders."
    )
    lines += [f"{name}: {_told(one.diagonal)}" for name, one in found.items()]
    return "\n".join(lines)


TABLES = (
    ("Reaction: 1 - cos when a region is taken out, percent of that between two people", "reaction", 100, "{:5.1f}"),
    ("By size: that over the region's percent of the picture", "by_size", 1, "{:5.2f}"),
)
"""What the text shows: title, field of `Reactions`, factor, how a number is written."""


def _line(name: str, cells: Iterable[object]) -> str:
    return f"{name:17}" + "".join(f"{cell!s:>13}" for cell in cells)


def _value(one: Reactions, field: str, feature: str, column: int, scale: float, numbers: str) -> str:
    if feature not in one.features:
        return "    -"
    row = one.features.index(feature)
    value = float(getattr(one, field)[row, column] / one.apart[row])
    return "    -" if np.isnan(value) else numbers.format(scale * value)


def _told(found: Diagonal | None) -> str:
    if found is None:
        return "no diagonal, for it has no local features, or a region is in no picture"
    return (
        f"{100 * found.share:.1f}% (p = {found.p:.3f}); {found.features} of {LOCAL} features react most to their own "
        f"region, {found.regions} of {LOCAL} regions move their own feature most"
    )
