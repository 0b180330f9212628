"""From COCO's 17 keypoints to the skeleton: missing joints, depth and the direction that the body faces are estimated.

Keypoints are flat. How far the body is turned follows from how wide shoulders and hips look, compared with the length
of trunk and legs; which way, from the nose and the ears, and from the knees, which bend forward.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .skeleton import Joint, Skeleton, unit, with_middles

Floats = NDArray[np.floating]

KEYPOINTS = 17
NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
LIMBS = range(5, 17)  # shoulders, elbows, wrists, hips, knees, ankles, left before right
ELBOWS, WRISTS, HIPS, KNEES, ANKLES = (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)
SHOULDERS = (5, 6)
SURE = 0.3  # score from which a keypoint is used
ESTIMATED = 0.1  # certainty of a joint that is estimated from others
FACING = 0.95  # probability that front and back are right, where shoulders and hips are clearly apart

# Lengths in metres of an average adult.
TRUNK, THIGH, SHANK, UPPER_ARM, FOREARM = 0.50, 0.43, 0.43, 0.30, 0.26
SHOULDERS_APART, HIPS_APART = 0.36, 0.20  # the joints, from left to right
EARS_UP, EARS_APART, NOSE_AHEAD = 0.22, 0.15, 0.10  # from the shoulders' middle; and in front of the ears
HAND, FOOT, HEEL_DOWN, HEEL_BACK, TOES_DOWN = 0.17, 0.19, 0.05, 0.05, 0.05
BEFORE_BODY = 0.15  # how far hands and elbows are in front of the trunk, where they overlap it in the image


def skeleton_of(keypoints: Floats) -> Skeleton | None:
    """Return the skeleton of keypoints (17, 3): x and y in pixels of the image, and their score in 0..1.

    None if they have no trunk: no shoulder, or neither a hip nor the head.
    """
    points, score = keypoints[:, :2].astype(np.float64), keypoints[:, 2].astype(np.float64)
    known = score >= SURE
    head = _head(points, known)
    if not known[list(SHOULDERS)].any() or (head is None and not known[list(HIPS)].any()):
        return None
    points = points.copy()
    scale = _complete(points, known, head)
    if head is None:
        down = unit(points[list(HIPS)].mean(0) - points[list(SHOULDERS)].mean(0))
        head = points[list(SHOULDERS)].mean(0) - EARS_UP * scale * down
    left, turned = _left(points, known, scale)
    front = np.array([left[1], -left[0]])  # right in the image and away, as `left`
    joints = np.concatenate([_with_ends(points, front, scale), head[None]])  # (19, 2)
    certainty = np.where(known, score, ESTIMATED)[list(LIMBS)]
    of_head = score[:5][known[:5]].mean() if known[:5].any() else ESTIMATED
    certainty = np.concatenate(
        [certainty[:6], certainty[4:6], certainty[6:], certainty[10:], certainty[10:], [of_head]]
    )
    return Skeleton(
        points=with_middles(joints),
        depth=with_middles(_depth(points, left, front, scale)),
        certainty=np.clip(with_middles(certainty), 0, 1),
        scale=scale,
        torso=left,
        head=_left_of_head(points, known, left, scale),
        arms=left,
        legs=left,
        facing=0.5 + (FACING - 0.5) * turned,
    )


def _head(points: Floats, known: NDArray[np.bool_]) -> Floats | None:
    """Return the middle of the head (2,): of the ears that are seen, else of the eyes, else the nose."""
    for group in ((LEFT_EAR, RIGHT_EAR), (LEFT_EYE, RIGHT_EYE), (NOSE,)):
        if seen := [index for index in group if known[index]]:
            return np.asarray(points[seen].mean(axis=0))
    return None


def _complete(points: Floats, known: NDArray[np.bool_], head: Floats | None) -> float:
    """Estimate the limbs' keypoints that are not known, in place; return the pixels of a metre."""
    shoulders, hips = ([index for index in pair if known[index]] for pair in (SHOULDERS, HIPS))
    top = points[shoulders].mean(axis=0)
    if hips:
        bottom = points[hips].mean(axis=0)
        lengths = [np.linalg.norm(bottom - top) / TRUNK]
        for joints, length in (((HIPS, KNEES), THIGH), ((KNEES, ANKLES), SHANK)):
            pairs = [pair for pair in zip(*joints, strict=True) if known[list(pair)].all()]
            lengths += [max(np.linalg.norm(points[a] - points[b]) for a, b in pairs) / length] if pairs else []
        scale = float(np.median(lengths))
    else:
        assert head is not None
        scale = float(np.linalg.norm(head - top)) / EARS_UP
    scale = max(scale, 1.0)
    down = unit(bottom - top) if hips else unit(top - head) if head is not None else np.array([0.0, 1.0])
    if not hips:
        points[list(HIPS)] = top + down * TRUNK * scale
    for pair in (SHOULDERS, HIPS):
        for here, other in (pair, pair[::-1]):
            if not known[here] and known[other]:
                points[here] = points[other]
    chains = ((SHOULDERS, ELBOWS, UPPER_ARM), (ELBOWS, WRISTS, FOREARM), (HIPS, KNEES, THIGH), (KNEES, ANKLES, SHANK))
    for starts, ends, length in chains:
        for start, end in zip(starts, ends, strict=True):
            if not known[end]:
                points[end] = points[start] + down * length * scale
    return scale


def _left(points: Floats, known: NDArray[np.bool_], scale: float) -> tuple[Floats, float]:
    """Return the direction (2,) of the person's left, right and away, and how clearly it is to one side, 0 to 1."""
    apart = [points[left, 0] - points[right, 0] for left, right in (SHOULDERS, HIPS)]
    across = np.clip(sum(apart) / ((SHOULDERS_APART + HIPS_APART) * scale), -1, 1)
    away = np.sqrt(1 - across**2) * (1 if _ahead(points, known, scale) >= 0 else -1)
    return np.array([across, away]), float(abs(across))


def _ahead(points: Floats, known: NDArray[np.bool_], scale: float) -> float:
    """Return how far the person faces the right side of the image, in metres: below 0 the left side."""
    evidence = 0.0
    ears = [index for index in (LEFT_EAR, RIGHT_EAR) if known[index]]
    if known[NOSE] and ears:
        evidence += (points[NOSE, 0] - points[ears, 0].mean()) / scale
    elif len(ears) == 1:  # the ear that is seen is on the near side: whose right ear is near faces right
        evidence += NOSE_AHEAD if ears[0] == RIGHT_EAR else -NOSE_AHEAD
    for hip, knee, ankle in zip(HIPS, KNEES, ANKLES, strict=True):
        if known[[hip, knee, ankle]].all():
            leg = points[ankle] - points[hip]
            share = np.clip((points[knee, 1] - points[hip, 1]) / (leg[1] if abs(leg[1]) > 1 else 1.0), 0, 1)
            evidence += (points[knee, 0] - points[hip, 0] - share * leg[0]) / scale
    return float(evidence)


def _left_of_head(points: Floats, known: NDArray[np.bool_], left: Floats, scale: float) -> Floats:
    """Return the direction of the head's left: by both ears, where they are known, else the body's."""
    if not known[[LEFT_EAR, RIGHT_EAR]].all():
        return left
    across = np.clip((points[LEFT_EAR, 0] - points[RIGHT_EAR, 0]) / (EARS_APART * scale), -1, 1)
    ahead = points[NOSE, 0] - points[[LEFT_EAR, RIGHT_EAR], 0].mean() if known[NOSE] else left[1]
    return np.array([across, np.sqrt(1 - across**2) * (1 if ahead >= 0 else -1)])


def _with_ends(points: Floats, front: Floats, scale: float) -> Floats:
    """Return the joints of the limbs (18, 2): those of the keypoints, with fingers, heels and toes."""
    fingers = [
        points[wrist] + HAND * scale * unit(points[wrist] - points[elbow])
        for elbow, wrist in zip(ELBOWS, WRISTS, strict=True)
    ]
    heels, toes = [], []
    for knee, ankle in zip(KNEES, ANKLES, strict=True):
        down = unit(points[ankle] - points[knee])
        ahead = np.array([front[0], max(-front[1], 0) * 0.3]) * scale  # toes that point to the viewer are lower
        heels.append(points[ankle] + HEEL_DOWN * scale * down - HEEL_BACK * ahead)
        toes.append(points[ankle] + TOES_DOWN * scale * down + FOOT * ahead)
    limbs = points[list(LIMBS)]
    return np.concatenate([limbs[:6], np.stack(fingers), limbs[6:], np.stack(heels), np.stack(toes)])


def _depth(points: Floats, left: Floats, front: Floats, scale: float) -> Floats:
    """Return the depth (19,) of all joints but the middles, in metres away from the viewer."""
    depth = np.zeros(19)
    sides = np.array([1, -1])
    for joint in (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_FINGERS):
        depth[[joint, joint + 1]] = sides * left[1] * SHOULDERS_APART / 2
    for joint in (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE, Joint.LEFT_HEEL, Joint.LEFT_TOES):
        depth[[joint, joint + 1]] = sides * left[1] * HIPS_APART / 2
    top, bottom = points[list(SHOULDERS)].mean(axis=0), points[list(HIPS)].mean(axis=0)
    down = unit(bottom - top)
    right = np.array([down[1], -down[0]])
    half = np.abs((points[list(SHOULDERS)] - top) @ right).max() - 0.02 * scale
    # A hand over the trunk is on its front: nearer where the front is seen, hidden behind the back.
    for side in (0, 1):
        for keypoint, joints in (
            (ELBOWS[side], (Joint.LEFT_ELBOW,)),
            (WRISTS[side], (Joint.LEFT_WRIST, Joint.LEFT_FINGERS)),
        ):
            offset = points[keypoint] - top
            over = abs(offset @ right) < half and 0 < offset @ down < np.linalg.norm(bottom - top)
            for joint in joints:
                depth[joint + side] += BEFORE_BODY * front[1] * over
    return depth
