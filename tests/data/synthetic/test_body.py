"""The body: height, joints and directions of its limbs."""

import numpy as np
import pytest

from dsa_data.synthetic.body import Build, build_body
from dsa_data.synthetic.pose import LOWER_LEG, UPPER_LEG, Pose, sample_pose
from dsa_data.synthetic.raycast import bounds
from dsa_data.synthetic.surface import Part


def extent(build: Build, pose: Pose) -> np.ndarray:
    body = build_body(build)
    box = bounds(body.solids, body.posed(pose))
    return np.concatenate([box[:, :2].min(axis=0), box[:, 2:].max(axis=0)])


@pytest.mark.parametrize("height", [1.5, 1.75, 1.95])
def test_a_person_is_as_tall_as_their_height(height: float) -> None:
    left, low, right, high = extent(Build(height=height, hair="bald"), Pose(spread=(0, 0)))
    assert high - low == pytest.approx(height, rel=0.02)
    assert right == pytest.approx(-left)
    assert 0.2 < (right - left) / height < 0.36  # adults' shoulders with arms are a quarter of the height


def test_joints_keep_limbs_together_in_every_pose() -> None:
    body = build_body(Build())
    for seed in range(20):
        origin = body.posed(sample_pose(np.random.default_rng(seed))).origin
        for side in (0, 1):
            hip, knee = origin[Part.UPPER_LEG_LEFT + side], origin[Part.LOWER_LEG_LEFT + side]
            assert np.linalg.norm(hip - knee) == pytest.approx(UPPER_LEG * 1.75)
            heel = origin[Part.FOOT_LEFT + side]
            assert np.linalg.norm(knee - heel) == pytest.approx(LOWER_LEG * 1.75, rel=0.1)


def test_positive_angles_move_limbs_forward() -> None:
    origin = build_body(Build()).posed(Pose(thigh=(0.5, -0.5), arm=(-0.4, 0.4))).origin
    z = origin[:, 2]  # towards the front
    assert z[Part.LOWER_LEG_LEFT] > 0.1 > -0.1 > z[Part.LOWER_LEG_RIGHT]
    assert z[Part.HAND_RIGHT] > 0 > z[Part.HAND_LEFT]
    assert origin[Part.HAND_LEFT, 0] > 0 > origin[Part.HAND_RIGHT, 0]  # the left is at x > 0
