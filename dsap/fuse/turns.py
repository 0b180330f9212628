"""Which maps of a person take a back for a front, or a front for a back, by the colours of the other images.

A map that is turned around as a whole agrees with itself: nothing in it says so. But its face has the colours of the
person's hair, and its back those of the chest. Both are known from the other images, so that it is a question which of
the two surfaces an image resembles more: that under its map as it is, or under its map turned around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsa_data.charts import CHARTS
from dsa_data.turning import turned

from .judge import MORE_LIKELY, probability_turned
from .surface import FEWEST, colours_at, fit_gains, nearest_gain, pixels_of

PARTS = {"head": (23, 24), "torso": (1, 2), "limbs": tuple(range(3, 23))}
LEAST = 8  # pixels of a part, where the surface is known both ways
SHARE = 0.05  # of the body's pixels: parts with fewer, where the surface is known both ways, count in proportion
ROUNDS = 4
AT_ONCE = 8  # one image in so many, the most likely ones, is turned in a round: the others show what is right


@dataclass(frozen=True)
class Turn:
    """What is known of whether a map is that of the person turned around.

    Attributes:
        head, torso, limbs: how much more of the variance of its colours the surface of the others explains with the
            map turned around, -1 to 1; 0 where nothing is known.
        probability: that it is turned around.
    """

    head: float
    torso: float
    limbs: float
    probability: float

    @property
    def turned(self) -> bool:
        """Whether it is more likely turned around than not."""
        return self.probability > MORE_LIKELY


def no_clue(share: float) -> Turn:
    """Return what is known of a map that is compared with no other image; `share` of all maps are turned around."""
    return Turn(0.0, 0.0, 0.0, probability_turned((0.0, 0.0, 0.0), share))


def find_turns(images: Sequence[np.ndarray], maps: Sequence[np.ndarray], size: int, share: float) -> list[Turn]:
    """Return for each image of a person whether its map is turned around.

    In each round the maps that are most likely turned around are turned back, and the surface is made again.

    Args:
        images: uint8 (H, W, 3), RGB.
        maps: uint8 (H, W, 3), I, U, V of each.
        size: S.
        share: of all maps, that are turned around.
    """
    now = [False] * len(maps)
    most = max(1, len(maps) // AT_ONCE)
    for _ in range(ROUNDS):
        found = _compare(images, maps, now, size, share)
        wrong = [index for index, turn in enumerate(found) if turn.turned != now[index]]
        if not wrong:
            break
        wrong.sort(key=lambda index: -abs(found[index].probability - MORE_LIKELY))
        for index in wrong[:most]:
            now[index] = not now[index]
    else:
        found = _compare(images, maps, now, size, share)
    return found


def _compare(
    images: Sequence[np.ndarray], maps: Sequence[np.ndarray], turn: Sequence[bool], size: int, share: float
) -> list[Turn]:
    """Return what the others say of each map, where those of `turn` are turned around in the surface."""
    straight = [turned(iuv) if turns else iuv for iuv, turns in zip(maps, turn, strict=True)]
    bodies = [pixels_of(image, iuv, size) for image, iuv in zip(images, straight, strict=True)]
    _, sums = fit_gains(bodies, size)
    total = sum(sums, np.zeros((CHARTS * size * size, 4)))
    found = []
    for image, iuv, own in zip(images, maps, sums, strict=True):
        head, torso, limbs = clues(image, iuv, total - own, size)
        found.append(Turn(head, torso, limbs, probability_turned((head, torso, limbs), share)))
    return found


def clues(image: np.ndarray, iuv: np.ndarray, others: np.ndarray, size: int) -> tuple[float, float, float]:
    """Return how much more of the variance of head, torso and limbs is explained with the map turned around.

    Args:
        image: uint8 (H, W, 3), RGB.
        iuv: uint8 (H, W, 3).
        others: sums of the other images (24 S S, 4).
        size: S.
    """
    body = pixels_of(image, iuv, size)
    here, known = colours_at(others, body.texel)
    there, known_too = colours_at(others, pixels_of(image, turned(iuv), size).texel)
    both = known & known_too
    if both.sum() < FEWEST:
        return 0.0, 0.0, 0.0
    # The gain is fitted to the mean of the two, so that it prefers neither.
    colour = body.colour * nearest_gain(body.colour[both], (here + there)[both] / 2)
    found = []
    for charts in PARTS.values():
        ours = both & np.isin(body.chart, charts)
        if ours.sum() < LEAST:
            found.append(0.0)
            continue
        more = _explained(colour[ours], there[ours]) - _explained(colour[ours], here[ours])
        found.append(more * min(1.0, ours.sum() / (SHARE * len(both))))
    head, torso, limbs = map(float, found)
    return head, torso, limbs


def _explained(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the share of the variance of our colours (n, 3) that theirs explain, 0 to 1.

    It is the square of the correlation of all values, each less the mean colour, which light shifts; 0 if the
    correlation is negative.
    """
    ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    correlation = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum() + 1e-12)
    return float(max(correlation, 0.0) ** 2)
