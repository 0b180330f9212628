"""BlazePose's network where it is installed, and one that knows the answers where it is not."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from densepose_extract.pose import blazepose
from densepose_extract.pose.blazepose import CENTRE, CIRCLE, JOINTS, LEFT_EAR, NOSE, RIGHT_EAR, Look
from densepose_extract.pose.model_file import NAME, SHA256
from densepose_extract.pose.skeleton import Joint
from densepose_extract.weights.download import digest
from rendered_people import RenderedPerson

FACE = {NOSE: 0, 2: 1, 5: 2, LEFT_EAR: 3, RIGHT_EAR: 4}  # landmarks, and COCO's keypoints
FINGERS = {Joint.LEFT_FINGERS: (17, 19, 21), Joint.RIGHT_FINGERS: (18, 20, 22)}


def network_file() -> Path:
    """Return the file of the network: $DSA_POSE_MODEL, or that of an installed mediapipe; skip the test without it."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed: pip install ai-edge-litert")
    places = [Path(path) for path in [os.environ.get("DSA_POSE_MODEL")] if path]
    spec = importlib.util.find_spec("mediapipe")
    places += (
        [Path(path) / "modules/pose_landmark" / NAME for path in (spec.submodule_search_locations or [])]
        if spec
        else []
    )
    for path in places:
        if path.is_file() and digest(path) == SHA256:
            return path
    pytest.skip(f"{NAME} is missing: install mediapipe 0.10.21, or set DSA_POSE_MODEL to the file")


def true_look(person: RenderedPerson, presence: float = 1.0) -> Look:
    """Return what a perfect network would say of a rendered person."""
    skeleton = person.skeleton
    points, world = np.zeros((39, 2)), np.zeros((39, 3))
    joints = [joint for joint in range(Joint.EARS) if joint not in FINGERS]
    for landmark, joint in zip(JOINTS, joints, strict=True):
        points[landmark], world[landmark, 2] = skeleton.points[joint], skeleton.depth[joint]
    for joint, landmarks in FINGERS.items():
        wrist = skeleton.points[joint - 2]
        knuckles = wrist + (skeleton.points[joint] - wrist) / blazepose.FINGER_LENGTH
        points[list(landmarks)], world[list(landmarks), 2] = knuckles, skeleton.depth[joint]
    for landmark, keypoint in FACE.items():
        points[landmark], world[landmark, 2] = person.keypoints[keypoint, :2], skeleton.depth[Joint.EARS]
    x, z = skeleton.head
    points[LEFT_EAR], points[RIGHT_EAR] = (
        skeleton.points[Joint.EARS] + side * 5 * np.array([x, 0]) for side in (1, -1)
    )
    world[LEFT_EAR, 2], world[RIGHT_EAR, 2] = (skeleton.depth[Joint.EARS] + side * 0.07 * z for side in (1, -1))
    world[NOSE, 2] -= 0.1 * x
    world[:, :2] = points / skeleton.scale
    height, _width = person.mask.shape
    points[CENTRE], points[CIRCLE] = skeleton.points[Joint.HIPS], skeleton.points[Joint.HIPS] - [0, height / 2]
    sure = np.full(39, 5.0)
    return Look(points, world, sure, sure, presence, 0.02 + 0.96 * person.mask)


class KnowingNetwork:
    """Stands for `BlazePose`: knows the rendered people by their pixels, and nobody else."""

    def __init__(self, people: tuple[RenderedPerson, ...]) -> None:
        self._people = {person.image.tobytes(): person for person in people}

    def looks(self, image: np.ndarray) -> list[Look]:
        """Return the true look, twice; of an unknown image one in which no person is present."""
        person = self._people.get(image.tobytes())
        if person is None:
            empty = np.zeros(image.shape[:2])
            return [Look(np.zeros((39, 2)), np.zeros((39, 3)), np.zeros(39), np.zeros(39), 0.0, empty)]
        return [true_look(person), true_look(person)]
