"""The skeleton: from joint angles to the position of each part of the body, and from there to the view.

Lengths are in metres. The body's space has x to the person's left, y up, z to the front; the view's space has X to
the image's right, Y up and Z towards the viewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .solids import ALONG, OUTER
from .surface import Part

Floats = NDArray[np.floating]
LEFT, RIGHT = 1.0, -1.0

# In units of the body's height: proportions of adults, roughly Drillis and Contini's.
NECK = 0.845  # height of the base of the neck, from which the torso hangs
CHIN = 0.027  # from there up to where the head begins
SHOULDER, SHOULDER_OUT = 0.036, 0.106  # from there down to the shoulder joints, and from the middle to them
HIP, HIP_OUT = 0.325, 0.052  # likewise the hip joints
UPPER_ARM, LOWER_ARM = 0.172, 0.146
UPPER_LEG, LOWER_LEG = 0.245, 0.246
HEEL_DOWN, HEEL_BACK = 0.014, 0.036  # from the ankle to where the foot begins


@dataclass(frozen=True)
class Pose:
    """Joint angles in radians, left before right where there are two; with all 0 the person stands upright."""

    thigh: tuple[float, float] = (0.0, 0.0)  # forward
    knee: tuple[float, float] = (0.0, 0.0)  # bent
    arm: tuple[float, float] = (0.0, 0.0)  # forward
    elbow: tuple[float, float] = (0.0, 0.0)  # bent
    spread: tuple[float, float] = (0.12, 0.12)  # of the arms, outward
    lean: float = 0.0
    head_turn: float = 0.0  # to the left
    head_nod: float = 0.0


@dataclass(frozen=True)
class Frames:
    """The frames of the P parts: rows of `basis` (P, 3, 3) are outer, along and front; `origin` (P, 3) in metres."""

    basis: Floats
    origin: Floats

    def seen(self, rotation: Floats) -> Frames:
        """Return the frames turned by `rotation` (3, 3), from the body's space to the view's."""
        return Frames(self.basis @ rotation.T, self.origin @ rotation.T)

    def moved(self, shift: Floats) -> Frames:
        """Return the frames moved by `shift` (3,)."""
        return replace(self, origin=self.origin + shift)

    def reflected(self) -> Frames:
        """Return the frames of the mirrored person: X is negated."""
        mirror = np.array([-1.0, 1.0, 1.0])
        return Frames(self.basis * mirror, self.origin * mirror)


def pose_frames(height: float, shoulders: float, hips: float, pose: Pose) -> Frames:
    """Return the frames of all parts of a posed person, in the body's space.

    Args:
        height: of the person, in metres.
        shoulders, hips: factors on the distance of the shoulder joints, and of the hip joints.
    """
    basis, origin = np.zeros((len(Part), 3, 3)), np.zeros((len(Part), 3))

    # The columns of a rotation are the axes x, y, z of a limb, the rows of its basis outer, along and front. Outer is x
    # on the left and -x on the right; along is -y, down the limb, except where a part is charted upward.
    def put(part: int, rotation: Floats, start: Floats, side: float = LEFT, along: float = -1.0) -> None:
        basis[part] = rotation.T
        basis[part, OUTER] *= side
        basis[part, ALONG] *= along
        origin[part] = start

    trunk = _about_x(pose.lean)
    neck = np.array([0.0, NECK * height, 0.0])
    put(Part.TORSO, trunk, neck)
    put(Part.BAG, trunk, neck)
    put(Part.SKIRT, _about_x(-0.5 * sum(pose.thigh)), neck + trunk @ np.array([0, -HIP * height, 0]))
    head = trunk @ _about_y(pose.head_turn) @ _about_x(pose.head_nod)
    put(Part.HEAD, head, neck + trunk @ np.array([0, CHIN, 0.006]) * height, along=1.0)
    # Each limb is a chain: the rotation at a joint applies to all parts below it, and each part starts where the one
    # above ends.
    for i, side in enumerate((LEFT, RIGHT)):
        arm = trunk @ _about_z(side * pose.spread[i]) @ _about_x(-pose.arm[i])
        joint = neck + trunk @ np.array([side * SHOULDER_OUT * shoulders, -SHOULDER, 0]) * height
        put(Part.UPPER_ARM_LEFT + i, arm, joint, side)
        joint = joint - arm[:, 1] * (UPPER_ARM * height)
        arm = arm @ _about_x(-pose.elbow[i])
        put(Part.LOWER_ARM_LEFT + i, arm, joint, side)
        put(Part.HAND_LEFT + i, arm, joint - arm[:, 1] * (LOWER_ARM * height), side)

        leg = _about_z(side * 0.02) @ _about_x(-pose.thigh[i])
        joint = neck + trunk @ np.array([side * HIP_OUT * hips, -HIP, 0]) * height
        put(Part.UPPER_LEG_LEFT + i, leg, joint, side)
        joint = joint - leg[:, 1] * (UPPER_LEG * height)
        leg = leg @ _about_x(pose.knee[i])
        put(Part.LOWER_LEG_LEFT + i, leg, joint, side)
        heel = joint - leg @ np.array([0, LOWER_LEG + HEEL_DOWN, HEEL_BACK]) * height
        put(Part.FOOT_LEFT + i, leg @ _about_y(side * 0.12) @ _FOOT, heel, side, along=1.0)
    return Frames(basis, origin)


def sample_pose(generator: np.random.Generator) -> Pose:
    """Sample a pose: most people walk, some stand, some hold a telephone or carry something."""
    uniform = generator.uniform
    stride = uniform(0.25, 0.62) if generator.random() < 0.85 else uniform(0.0, 0.1)
    phase = uniform(0, 2 * math.pi)
    # One phase of the stride moves all limbs: thighs in opposition, each knee bent while its leg swings forward, and
    # each arm against the thigh of its side.
    thigh = (stride * math.sin(phase) + 0.04, -stride * math.sin(phase) + 0.04)
    knee = [0.08 + 1.35 * stride * max(0.0, math.cos(phase + turn)) for turn in (0.3, math.pi + 0.3)]
    swing = uniform(0.5, 1.0)
    arm = [uniform(-0.08, 0.08) - swing * angle for angle in thigh]
    elbow = [uniform(0.1, 0.5), uniform(0.1, 0.5)]
    if generator.random() < 0.2:
        busy = int(generator.integers(2))
        arm[busy], elbow[busy] = uniform(0.1, 0.5), uniform(1.3, 2.1)
    return Pose(
        thigh=thigh,
        knee=(knee[0], knee[1]),
        arm=(arm[0], arm[1]),
        elbow=(elbow[0], elbow[1]),
        spread=(uniform(0.06, 0.22), uniform(0.06, 0.22)),
        lean=uniform(-0.02, 0.12),
        head_turn=uniform(-0.45, 0.45),
        head_nod=uniform(-0.1, 0.25),
    )


def view_rotation(turn: float, pitch: float, roll: float) -> Floats:
    """Return (3, 3) from the body's space to the view's; angles in radians.

    Args:
        turn: 0 faces the viewer; at a quarter circle the nose points to the image's right.
        pitch: how far the camera looks down.
        roll: how far it is tilted.
    """
    return _about_z(roll) @ _about_x(pitch) @ _about_y(turn)


def _about_x(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _about_z(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


_FOOT = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])  # along is the leg's front, front the leg's up
