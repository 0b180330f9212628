"""Rendered people with their true maps, and where their joints are in the image."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from densepose_extract.pose.skeleton import Joint, Skeleton, unit, with_middles
from dsa_data.charts import REGION_OF_CHART
from dsa_data.synthetic import shots
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.pose import LOWER_LEG
from dsa_data.synthetic.render import Scene, render
from dsa_data.synthetic.surface import Part

# (joint of the left side, part, distance along it and to its front, in heights of the body)
_JOINTS = (
    (Joint.LEFT_SHOULDER, Part.UPPER_ARM_LEFT, 0.0, 0.0),
    (Joint.LEFT_ELBOW, Part.LOWER_ARM_LEFT, 0.0, 0.0),
    (Joint.LEFT_WRIST, Part.HAND_LEFT, 0.0, 0.0),
    (Joint.LEFT_FINGERS, Part.HAND_LEFT, 0.09, 0.0),
    (Joint.LEFT_HIP, Part.UPPER_LEG_LEFT, 0.0, 0.0),
    (Joint.LEFT_KNEE, Part.LOWER_LEG_LEFT, 0.0, 0.0),
    (Joint.LEFT_ANKLE, Part.LOWER_LEG_LEFT, LOWER_LEG, 0.0),
    (Joint.LEFT_HEEL, Part.FOOT_LEFT, 0.01, 0.0),
    (Joint.LEFT_TOES, Part.FOOT_LEFT, 0.13, 0.0),
)
_EARS_UP, _EAR_OUT, _NOSE = 0.06, 0.045, 0.055  # of the head: up, to a side, to the front, in heights of the body


@dataclass(frozen=True)
class RenderedPerson:
    """An image uint8 (H, W, 3), its true map, its true joints, and the angle that the person is turned by."""

    image: np.ndarray
    iuv: np.ndarray
    skeleton: Skeleton
    keypoints: np.ndarray  # COCO's, (17, 3)
    turn: float

    @property
    def mask(self) -> np.ndarray:
        """The pixels of the body, float (H, W)."""
        return (self.iuv[..., 0] > 0).astype(float)

    @property
    def seen_from(self) -> str:
        """ "front", "back" or "side"."""
        return "front" if math.cos(self.turn) > 0.6 else "back" if math.cos(self.turn) < -0.6 else "side"


@functools.cache
def rendered_people(count: int = 40, height: int = 128, width: int = 64) -> tuple[RenderedPerson, ...]:
    """Return people of all poses and views, wholly visible."""
    settings = SynthConfig(
        seed=11, train_identities=count, train_pictures=2, height=height, width=width, occluded=0.0, badly_cropped=0.0
    )
    planned = [group[0] for group in shots.plan(settings)[:count]]
    return tuple(_person(shots.scene_of(settings, shot), shot.turn) for shot in planned)


def agreement(iuv: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the IoU of the bodies, and of what both call body the shares with the same chart and the same region."""
    ours, theirs = iuv[..., 0], true[..., 0]
    both = (ours > 0) & (theirs > 0)
    iou = both.sum() / ((ours > 0) | (theirs > 0)).sum()
    return np.array(
        [iou, (ours == theirs)[both].mean(), (REGION_OF_CHART[ours] == REGION_OF_CHART[theirs])[both].mean()]
    )


def _person(scene: Scene, turn: float) -> RenderedPerson:
    image, iuv = render(scene)
    unit_length, frames, window = scene.body.build.height, scene.frames, scene.window

    def at(part: int, along: float, front: float = 0.0, outer: float = 0.0) -> np.ndarray:
        """Return a point of a part in the view's space (3,), its place in heights of the body."""
        basis = frames.basis[part]
        return np.asarray(frames.origin[part] + unit_length * (outer * basis[0] + along * basis[1] + front * basis[2]))

    def pixel(point: np.ndarray) -> list[float]:
        return [window.width / 2 + window.across * point[0], window.height / 2 - window.down * point[1]]

    sides = [at(part + side, along, front) for _, part, along, front in _JOINTS for side in (0, 1)]
    ears = [at(Part.HEAD, _EARS_UP, 0.0, side * _EAR_OUT) for side in (1, -1)]
    points = np.array([*sides, (ears[0] + ears[1]) / 2])
    skeleton = Skeleton(
        points=with_middles(np.array([pixel(point) for point in points])),
        depth=with_middles(-points[:, 2]),
        certainty=np.ones(21),
        scale=(window.down + window.across) / 2,
        torso=_left(frames.basis[Part.TORSO, 0]),
        head=_left(frames.basis[Part.HEAD, 0]),
        arms=_left(frames.basis[Part.TORSO, 0]),
        legs=_left(frames.basis[Part.TORSO, 0]),
    )
    nose = at(Part.HEAD, _EARS_UP, _NOSE)
    eyes = [at(Part.HEAD, _EARS_UP + 0.02, _NOSE - 0.01, side * 0.02) for side in (1, -1)]
    face = [nose, *eyes, *ears]
    middle = at(Part.HEAD, _EARS_UP)
    limbs = [sides[index] for index in (0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13)]
    scores = [float(point[2] - middle[2] > -0.02) for point in face] + [
        1.0
    ] * 12  # a face that is turned away is unknown
    keypoints = np.array([[*pixel(point), score] for point, score in zip([*face, *limbs], scores, strict=True)])
    return RenderedPerson(image, iuv, skeleton, keypoints, turn)


def _left(direction: np.ndarray) -> np.ndarray:
    """Return a direction of the view's space as the skeleton has it: to the right and away."""
    return unit(np.array([direction[0], -direction[2]]))
