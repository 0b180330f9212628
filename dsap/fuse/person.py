"""The images of one person: their surface, and which of their maps have exchanged limbs or are turned around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dsa_data.charts import CHARTS
from dsa_data.stores.surfaces import Surface
from dsa_data.turning import turned

from .exchange import LIMBS, exchanged
from .judge import MORE_LIKELY, probability_exchanged
from .layout import sides
from .surface import Pixels, distances, fit_gains, pixels_of, sums_of
from .turns import Turn, find_turns

UNIT = 0.01  # of squared distances of colours, for the regression
SHARE = 0.05  # of the body's pixels: limbs with fewer, where the surface is known, count in proportion


@dataclass(frozen=True)
class Evidence:
    """What is known of the arms, or the legs, of one map.

    Attributes:
        across, near: see `layout.sides`.
        nearer: how much nearer to the surface of the other images the colours are with the sides exchanged.
        probability: that they are exchanged.
    """

    across: float
    near: float
    nearer: float
    probability: float

    @property
    def exchanged(self) -> bool:
        """Whether they are more likely exchanged than not."""
        return self.probability > MORE_LIKELY


@dataclass(frozen=True)
class Fused:
    """What is found for one person.

    Attributes:
        evidence: by limbs for each image; of a map that is turned around, after it was turned back.
        surface: of the corrected maps.
        turns: whether the map of each image is turned around; empty if that was not looked for.
    """

    evidence: list[dict[str, Evidence]]
    surface: Surface
    turns: list[Turn] = field(default_factory=list)


def judge_alone(iuv: np.ndarray) -> dict[str, Evidence]:
    """Return the evidence of one map by its layout alone."""
    found = {}
    for limbs in LIMBS:
        across, near = sides(iuv, limbs)
        found[limbs] = Evidence(across, near, 0.0, probability_exchanged(limbs, across, near))
    return found


def corrected(iuv: np.ndarray, evidence: dict[str, Evidence]) -> np.ndarray:
    """Return the map uint8 (H, W, 3) with the limbs that are likely exchanged exchanged back."""
    for limbs, found in evidence.items():
        if found.exchanged:
            iuv = exchanged(iuv, limbs)
    return iuv


def fuse(images: Sequence[np.ndarray], maps: Sequence[np.ndarray], size: int, turned_share: float = 0.0) -> Fused:
    """Compare the images of one person.

    First each map is judged alone and corrected; then each one by the surface of all others. Maps that are turned
    around are found in between, as the sides of limbs are compared on the side of the body that is seen.

    Args:
        images: uint8 (H, W, 3), RGB.
        maps: uint8 (H, W, 3), I, U, V of each.
        size: S.
        turned_share: of all maps, that are turned around; with 0 they are not looked for.
    """
    alone = [judge_alone(iuv) for iuv in maps]
    turns = []
    if turned_share:
        likely = [corrected(iuv, found) for iuv, found in zip(maps, alone, strict=True)]
        turns = find_turns(images, likely, size, turned_share)
        maps = [turned(iuv) if turn.turned else iuv for iuv, turn in zip(maps, turns, strict=True)]
        alone = [judge_alone(iuv) for iuv in maps]
    bodies = [
        pixels_of(image, corrected(iuv, found), size) for image, iuv, found in zip(images, maps, alone, strict=True)
    ]
    gains, sums = fit_gains(bodies, size)
    total = sum(sums, np.zeros((CHARTS * size * size, 4)))
    evidence = []
    for image, iuv, found, gain, own in zip(images, maps, alone, gains, sums, strict=True):
        others = total - own
        evidence.append(
            {limbs: _with_surface(image, iuv, limbs, one, gain, others, size) for limbs, one in found.items()}
        )
    bodies = [
        pixels_of(image, corrected(iuv, found), size) for image, iuv, found in zip(images, maps, evidence, strict=True)
    ]
    return Fused(evidence, surface_of(bodies, gains, size), turns)


def _with_surface(
    image: np.ndarray, iuv: np.ndarray, limbs: str, alone: Evidence, gain: np.ndarray, others: np.ndarray, size: int
) -> Evidence:
    nearer = _nearer(image, iuv, limbs, gain, others, size)
    probability = probability_exchanged(limbs, alone.across, alone.near, nearer)
    return Evidence(alone.across, alone.near, nearer, probability)


def _nearer(image: np.ndarray, iuv: np.ndarray, limbs: str, gain: np.ndarray, others: np.ndarray, size: int) -> float:
    """Return how much nearer to the surface the limbs are if their sides are exchanged, where it is known for both."""
    ours = np.isin(iuv[..., 0], LIMBS[limbs])
    body = int((iuv[..., 0] > 0).sum())
    alone = np.where(ours[..., None], iuv, 0).astype(np.uint8)
    as_it_is, known = distances(pixels_of(image, alone, size), gain, others)
    the_other_way, known_too = distances(pixels_of(image, exchanged(alone, limbs), size), gain, others)
    both = known & known_too
    if not both.any():
        return 0.0
    enough = min(1.0, both.sum() / (SHARE * body))
    return float((as_it_is - the_other_way)[both].mean() / UNIT * enough)


def surface_of(bodies: Sequence[Pixels], gains: Sequence[np.ndarray], size: int) -> Surface:
    """Return the surface of images whose colours are multiplied by these gains; its own light is their mean."""
    length = CHARTS * size * size
    light = np.exp(np.mean([np.log(np.maximum(gain, 1e-3)) for gain in gains], axis=0))  # (3,)
    total, squares, count = np.zeros((length, 3)), np.zeros(length), np.zeros(length, np.int64)
    for body, gain in zip(bodies, gains, strict=True):
        sums = sums_of(body, gain / light, size)
        seen = sums[:, 3] > 0
        colour = sums[seen, :3] / sums[seen, 3:]  # each image counts once on a texel
        total[seen] += colour
        squares[seen] += (colour**2).sum(axis=1)
        count[seen] += 1
    mean = total / np.maximum(count, 1)[:, None]
    variance = np.maximum(squares / np.maximum(count, 1) - (mean**2).sum(axis=1), 0) / 3
    shape = (CHARTS, size, size)
    return Surface(
        np.rint(255 * np.clip(mean, 0, 1)).astype(np.uint8).reshape(*shape, 3),
        np.rint(np.minimum(255 * np.sqrt(variance), 255)).astype(np.uint8).reshape(shape),
        np.minimum(count, 65535).astype(np.uint16).reshape(shape),
    )
