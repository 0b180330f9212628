"""Proportions and joints of the body, and the looks that are painted on it."""

import numpy as np
import pytest

from dsa_data.synthetic.appearance import SIZE, Garment, Mark, texture
from dsa_data.synthetic.body import Build, body
from dsa_data.synthetic.people import draw_person
from dsa_data.synthetic.pose import LOWER_LEG, UPPER_LEG, Pose, walking
from dsa_data.synthetic.raycast import bounds
from dsa_data.synthetic.surface import Part


def extent(build: Build, pose: Pose) -> np.ndarray:
    person = body(build)
    box = bounds(person.solids, person.posed(pose))
    return np.concatenate([box[:, :2].min(axis=0), box[:, 2:].max(axis=0)])


@pytest.mark.parametrize("height", [1.5, 1.75, 1.95])
def test_a_person_stands_as_tall_as_they_are(height: float) -> None:
    left, low, right, high = extent(Build(height=height, hair="bald"), Pose(spread=(0, 0)))
    assert high - low == pytest.approx(height, rel=0.02)
    assert right == pytest.approx(-left)
    assert 0.2 < (right - left) / height < 0.36  # adults' shoulders with arms are a quarter of the height


def test_joints_keep_limbs_together_in_every_pose() -> None:
    person = body(Build())
    for seed in range(20):
        origin = person.posed(walking(np.random.default_rng(seed))).origin
        for side in (0, 1):
            hip, knee = origin[Part.UPPER_LEG_LEFT + side], origin[Part.LOWER_LEG_LEFT + side]
            assert np.linalg.norm(hip - knee) == pytest.approx(UPPER_LEG * 1.75)
            heel = origin[Part.FOOT_LEFT + side]
            assert np.linalg.norm(knee - heel) == pytest.approx(LOWER_LEG * 1.75, rel=0.1)


def test_forward_is_forward() -> None:
    origin = body(Build()).posed(Pose(thigh=(0.5, -0.5), arm=(-0.4, 0.4))).origin
    z = origin[:, 2]  # towards the front
    assert z[Part.LOWER_LEG_LEFT] > 0.1 > -0.1 > z[Part.LOWER_LEG_RIGHT]
    assert z[Part.HAND_RIGHT] > 0 > z[Part.HAND_LEFT]
    assert origin[Part.HAND_LEFT, 0] > 0 > origin[Part.HAND_RIGHT, 0]  # the left is at x > 0


def test_appearance_is_a_function_of_the_surface() -> None:
    generator = np.random.default_rng(3)
    person = draw_person(generator, generator, 5, (5, 9))
    size = 8
    whole = texture(person.appearance, size)
    chart, row, column = 2, 3, 5
    u, v = (row + 0.5) / size, (column + 0.5) / size
    alone = person.appearance.albedo(np.array([chart]), np.array([u]), np.array([v]))
    assert whole.shape == (24, size, size, 3)
    np.testing.assert_array_equal(whole[chart - 1, row, column], np.rint(255 * alone[0]))


def test_a_mark_is_as_large_as_it_says() -> None:
    mark = Mark(2, 0.5, 0.5, 10.0, "disc", (1.0, 0.0, 0.0))
    size = 400
    middle = (np.arange(size) + 0.5) / size
    u, v = (grid.ravel() for grid in np.meshgrid(middle, middle, indexing="ij"))
    colours = np.zeros((size * size, 3), np.float32)
    mark.paint(colours, np.full(size * size, 2), u, v)
    length, width = SIZE[2]
    area = (colours[:, 0] > 0).mean() * length * width  # square centimetres
    assert area == pytest.approx(np.pi * 5**2, rel=0.02)


def test_hoops_alternate_with_their_period() -> None:
    cloth = Garment((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "hoops", period=SIZE[2, 0] / 4)
    u = (np.arange(8) + 0.5) / 8
    shown = cloth.colours(np.full(8, 2), u, np.full(8, 0.5))[:, 0]
    assert shown.tolist() == [1, 0] * 4
