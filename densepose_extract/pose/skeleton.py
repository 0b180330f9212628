"""The skeleton that every source of landmarks is converted to, and the directions that it faces."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Joint(IntEnum):
    """Points of the body. Those of the left side are even, the right one's follow."""

    LEFT_SHOULDER = 0
    RIGHT_SHOULDER = 1
    LEFT_ELBOW = 2
    RIGHT_ELBOW = 3
    LEFT_WRIST = 4
    RIGHT_WRIST = 5
    LEFT_FINGERS = 6
    RIGHT_FINGERS = 7
    LEFT_HIP = 8
    RIGHT_HIP = 9
    LEFT_KNEE = 10
    RIGHT_KNEE = 11
    LEFT_ANKLE = 12
    RIGHT_ANKLE = 13
    LEFT_HEEL = 14
    RIGHT_HEEL = 15
    LEFT_TOES = 16
    RIGHT_TOES = 17
    EARS = 18  # the point between them, in the middle of the head
    SHOULDERS = 19  # the points between those of both sides
    HIPS = 20


SIDES = 18  # joints that belong to a side
OTHER_SIDE = np.array([joint ^ 1 if joint < SIDES else joint for joint in Joint])
"""Index of each joint's partner on the body's other side, (21,)."""


@dataclass(frozen=True)
class Skeleton:
    """A person's joints in an image.

    Attributes:
        points: (21, 2), x and y in pixels of the image, counted from its corner; rows are `Joint`.
        depth: (21,) metres away from the viewer, from any origin.
        certainty: (21,) in [0, 1], how probable it is that the point is right.
        scale: pixels of a metre.
        torso, head, arms, legs: (2,) unit vectors in the horizontal plane that point to the person's left. Coordinates:
            to the image's right, and away from the viewer. (1, 0) is seen from the front, (-1, 0) from behind, (0, 1)
            from the right.
        facing: probability that front and back are not confused.
    """

    points: Floats
    depth: Floats
    certainty: Floats
    scale: float
    torso: Floats
    head: Floats
    arms: Floats
    legs: Floats
    facing: float = 1.0


def unit(vector: Floats) -> Floats:
    """Return a vector (..., n) with length 1; a vector of no length stays so."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-6))


def with_middles(values: Floats) -> Floats:
    """Return (21, ...) of (19, ...): with the points between both shoulders and between both hips."""
    shoulders = values[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]].mean(axis=0)
    hips = values[[Joint.LEFT_HIP, Joint.RIGHT_HIP]].mean(axis=0)
    return np.concatenate([values, shoulders[None], hips[None]])
