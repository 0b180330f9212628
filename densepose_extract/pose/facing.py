"""Whether a person is seen from the front or from behind.

The network takes half of the people that are seen from behind for people who face the camera, and never the other way
round. A logistic regression decides by how far apart it puts the shoulders, where it puts the nose, and by the colour
of the head: a face is redder than what is around the person, hair is not.

Its weights were fitted on 175 crops of CUHK03 that were labelled by eye (91 fronts, 84 backs; people seen from the side
were left out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .blazepose import LEFT_EAR, NOSE, RIGHT_EAR, Look, across, skeleton_of
from .logistic import sigmoid
from .skeleton import OTHER_SIDE, Skeleton

Floats = NDArray[np.floating]

# Of: metres that the left side is right of the right one; the nose is behind the ears; the logit that the nose is
# visible; how much redder than the surroundings the head's reddest tenth is, and than its own least red part.
WITH_COLOUR = np.array([4.9636, -11.5897, 0.2465, 0.1925, -0.0814])
WITH_COLOUR_BIAS = -6.4186
WITHOUT_COLOUR = np.array([4.4475, -11.7998, 0.4120])
WITHOUT_COLOUR_BIAS = -4.7384
HEAD = (0.09, 0.11)  # half the width and half the height of what is taken for the head, in metres
FEW = 8  # pixels of the head or of its surroundings below which their colours say nothing
GREY = 2.0  # range of red minus blue below which an image has no colour


def probability_of_front(image: NDArray[np.uint8], looks: Sequence[Look]) -> float:
    """Return the probability that the person in an RGB image (H, W, 3) is seen from the front."""
    if across(looks[-1].world)[0] < 0:
        return 0.0  # whom the network sees from behind is seen from behind
    features = np.mean([_of_landmarks(look) for look in looks], axis=0)
    colours = [colour for look in looks if (colour := _of_colours(image, look)) is not None]
    if colours:
        features = np.concatenate([features, np.mean(colours, axis=0)])
        return float(sigmoid(features @ WITH_COLOUR + WITH_COLOUR_BIAS))
    return float(sigmoid(features @ WITHOUT_COLOUR + WITHOUT_COLOUR_BIAS))


def skeleton_facing(image: NDArray[np.uint8], looks: Sequence[Look]) -> Skeleton:
    """Return the skeleton of the last look, turned round if the person is seen from behind and it says otherwise."""
    front = probability_of_front(image, looks)
    skeleton = skeleton_of(looks[-1])
    if front < 0.5 and skeleton.torso[0] > 0:
        skeleton = turn_round(skeleton)
    return replace(skeleton, facing=max(front, 1 - front))


def turn_round(skeleton: Skeleton) -> Skeleton:
    """Return the skeleton with the same limbs, of a person who shows the back instead of the front, or the reverse.

    The person is mirrored in the plane of the image: left and right are exchanged, and what was near is far.
    """
    away = np.array([-1.0, 1.0])
    return replace(
        skeleton,
        points=skeleton.points[OTHER_SIDE],
        depth=-skeleton.depth[OTHER_SIDE],
        certainty=skeleton.certainty[OTHER_SIDE],
        torso=skeleton.torso * away,
        head=skeleton.head * away,
        arms=skeleton.arms * away,
        legs=skeleton.legs * away,
    )


def _of_landmarks(look: Look) -> Floats:
    nose_behind = look.world[NOSE, 2] - look.world[[LEFT_EAR, RIGHT_EAR], 2].mean()
    return np.array([across(look.world)[0], nose_behind, look.visible[NOSE]])


def _of_colours(image: NDArray[np.uint8], look: Look) -> Floats | None:
    """Return how red the head is, (2,); None where the image has no colour or too few pixels."""
    x, y = look.points[[LEFT_EAR, RIGHT_EAR]].mean(axis=0)
    scale = skeleton_of(look).scale
    rows, columns = np.mgrid[: look.mask.shape[0], : look.mask.shape[1]]
    near = np.hypot((columns + 0.5 - x) / (HEAD[0] * scale), (rows + 0.5 - y - 0.01 * scale) / (HEAD[1] * scale)) < 1
    person = look.mask > 0.5
    head, around = near & person, ~person
    if head.sum() < FEW or around.sum() < FEW:
        return None
    red, blue = np.moveaxis(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float64), -1, 0)
    redness = red - blue
    if np.ptp(redness) < GREY:
        return None
    reddest = np.percentile(redness[head], 90)
    return np.array([reddest - np.median(redness[around]), reddest - np.percentile(redness[head], 15)])
