"""Maps from true joints of rendered people, compared with their true maps; the rules of `placing`, one by one."""

from dataclasses import replace

import numpy as np
import pytest

from densepose_extract.pose import placing
from densepose_extract.pose.facing import turn_round
from densepose_extract.pose.person_map import BODY, mask_of, person_map
from densepose_extract.pose.placing import CAPSULES, LINES, outline, place
from densepose_extract.pose.skeleton import OTHER_SIDE, Joint, Skeleton, unit, with_middles
from dsa_data.charts import PARTNER
from dsa_data.stores.iuv import quantise
from dsa_data.synthetic.surface import Part
from rendered_people import agreement, rendered_people


def standing(left: tuple[float, float] = (1.0, 0.0)) -> Skeleton:
    """Return a person who stands upright at x = 50, 1.7 m = 170 pixels high, arms away from the trunk."""
    x, z = unit(np.array(left))
    sides = {
        Joint.LEFT_SHOULDER: (18, 40), Joint.LEFT_ELBOW: (32, 65), Joint.LEFT_WRIST: (42, 90),
        Joint.LEFT_FINGERS: (48, 105), Joint.LEFT_HIP: (10, 92), Joint.LEFT_KNEE: (11, 135),
        Joint.LEFT_ANKLE: (11, 175), Joint.LEFT_HEEL: (11, 180), Joint.LEFT_TOES: (12, 188),
    }  # fmt: skip
    points = np.array([(50 + side * x * out, down) for out, down in sides.values() for side in (1, -1)] + [(50, 18)])
    depth = np.array([side * z * out / 100 for out, _ in sides.values() for side in (1, -1)] + [0.0])
    facing = np.array([x, z])
    return Skeleton(with_middles(points), with_middles(depth), np.ones(21), 100.0, *[facing] * 4)


def chart_at(skeleton: Skeleton, x: float, y: float) -> int:
    return int(place(skeleton, np.array([[x, y]])).chart[0])


@pytest.mark.parametrize(
    ("place_in_image", "front", "back"),
    [
        ((50, 60), 2, 1),  # torso
        ((46, 18), 23, 24),  # the head's right half is on the left side of the image
        ((54, 18), 24, 23),
        ((61, 115), 10, 7),  # the image's right thigh is the left one, seen in front; the right one, seen from behind
        ((39, 115), 9, 8),
        ((61, 155), 14, 11),
        ((95, 98), 4, 3),  # hands
        ((62, 186), 5, 6),  # feet
    ],
)
def test_charts_of_a_standing_person_by_hand(place_in_image: tuple[float, float], front: int, back: int) -> None:
    assert chart_at(standing(), *place_in_image) == front
    assert chart_at(standing((-1.0, 0.0)), *place_in_image) == back


def test_from_a_side_half_the_torso_is_front_and_half_back() -> None:
    """(0, 1): the left is away, so that the right side is seen and the front is to the image's right."""
    pixels = np.array([[50 + offset, 70.0] for offset in (-11, -8, 8, 11)])
    assert place(standing((0.0, 1.0)), pixels).chart.tolist() == [1, 1, 2, 2]
    assert place(standing((0.0, -1.0)), pixels).chart.tolist() == [2, 2, 1, 1]


def test_a_limb_in_front_hides_the_torso_and_one_behind_is_hidden() -> None:
    person = standing()
    points, depth = person.points.copy(), person.depth.copy()
    points[[Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_FINGERS]] = [[62, 62], [45, 70], [36, 72]]
    arm = [Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_FINGERS]
    for towards, charts in ((-0.25, {19, 21}), (0.25, {2})):
        depth[arm] = towards
        assert chart_at(replace(person, points=points, depth=depth), 52, 66) in charts


def test_u_and_v_run_as_dense_pose_has_them() -> None:
    """U runs along the limbs, by the sign of LINES; on the head U runs around and V up."""
    person = standing()
    thigh = place(person, np.array([[61.0, 112.0], [61.0, 122.0]]))
    assert thigh.chart.tolist() == [10, 10]
    assert LINES[10, 1] < 0
    assert thigh.u[0] > thigh.u[1]
    shin = place(person, np.array([[61.0, 150.0], [61.0, 165.0]]))
    assert shin.chart.tolist() == [14, 14]
    assert LINES[14, 1] > 0
    assert shin.u[0] < shin.u[1]
    head = place(person, np.array([[54.0, 22.0], [54.0, 14.0]]))
    assert head.chart.tolist() == [24, 24]
    assert head.v[0] < head.v[1]


def test_a_mirrored_person_has_the_mirrored_charts() -> None:
    """Points mirrored and sides exchanged: each chart is its partner's, at the mirrored pixel."""
    for person in rendered_people(6):
        skeleton, width = person.skeleton, person.iuv.shape[1]
        points = skeleton.points[OTHER_SIDE].copy()
        points[:, 0] = width - points[:, 0]
        flip = np.array([1.0, -1.0])  # the left becomes the right: x twice, away once
        mirrored = replace(
            skeleton,
            points=points,
            depth=skeleton.depth[OTHER_SIDE],
            torso=skeleton.torso * flip,
            head=skeleton.head * flip,
            arms=skeleton.arms * flip,
            legs=skeleton.legs * flip,
        )
        rows, columns = np.nonzero(person.mask)
        pixels = np.stack([columns, rows], axis=1) + 0.5
        flipped = np.stack([width - pixels[:, 0], pixels[:, 1]], axis=1)
        same = PARTNER[place(skeleton, pixels).chart] == place(mirrored, flipped).chart
        assert same.mean() > 0.99  # pixels exactly on a border fall to either side


def test_capsules_without_length_are_circles() -> None:
    person = standing()
    points = person.points.copy()
    points[[Joint.LEFT_TOES, Joint.RIGHT_TOES]] = points[[Joint.LEFT_HEEL, Joint.RIGHT_HEEL]]
    still = replace(person, points=points)
    assert chart_at(still, 50, 60) == 2
    assert chart_at(still, 61, 182) == 5


def test_true_joints_give_nearly_the_true_maps() -> None:
    """Measured on 60 people when written: IoU 0.995, chart 0.846, region 0.884; backs 0.868 and 0.897."""
    results = {"front": [], "back": [], "side": []}
    for person in rendered_people(40):
        results[person.seen_from].append(agreement(person_map(person.skeleton, person.mask).iuv, person.iuv))
    for view, least in {"front": (0.98, 0.84, 0.87), "back": (0.98, 0.83, 0.86), "side": (0.98, 0.77, 0.82)}.items():
        assert len(results[view]) >= 5
        assert (np.mean(results[view], axis=0) > least).all(), view


def test_wrong_facing_gives_wrong_charts_in_right_regions() -> None:
    """So that the test above would notice it."""
    people = [person for person in rendered_people(40) if person.seen_from != "side"]
    wrong = np.mean([agreement(person_map(turn_round(p.skeleton), p.mask).iuv, p.iuv) for p in people], axis=0)
    assert wrong[1] < 0.2
    assert wrong[2] > 0.75
    assert np.allclose(turn_round(turn_round(people[0].skeleton)).points, people[0].skeleton.points)


def test_the_outline_is_a_body() -> None:
    ious = []
    for person in rendered_people(20):
        height, width = person.mask.shape
        mask = mask_of(person.skeleton, height, width)
        assert set(np.unique(mask)) == {0.0, 1.0}
        ious.append(agreement(person_map(person.skeleton, mask).iuv, person.iuv)[0])
    assert np.mean(ious) > 0.78
    corner = np.array([[0.5, 0.5]])
    assert not outline(standing(), corner).any()


def test_maps_are_empty_outside_the_mask_and_far_from_the_body() -> None:
    person = standing()
    mask = np.zeros((200, 200))
    mask[:, 100:] = 1.0  # to the right of the left hand there is nothing of the body
    mask[60, 50] = BODY - 0.01
    found = person_map(person, mask)
    assert found.iuv[60, 50].tolist() == [0, 0, 0]
    assert not found.iuv[:, 130:].any()
    assert not found.fine[:, 130:].any()
    assert found.confidence[60, 50] == round(255 * (1 - mask[60, 50]))
    assert found.confidence[10, 10] == 255  # the mask is sure of the background


def test_sixteen_bits_are_the_same_coordinates() -> None:
    person = rendered_people(6)[0]
    found = person_map(person.skeleton, person.mask)
    u, v = np.moveaxis(found.fine / 65536, -1, 0)
    assert np.abs(quantise(found.iuv[..., 0], u, v).astype(int) - found.iuv).max() <= 1
    assert (found.fine[found.iuv[..., 0] == 0] == 0).all()


def test_confident_pixels_are_right_more_often() -> None:
    """With true joints, which are better than those that the confidence was fitted for, it is rather too low."""
    stated, right = [], []
    for person in rendered_people(40):
        mask = 0.02 + 0.96 * person.mask  # as sure as a network is
        found = person_map(person.skeleton, mask)
        body = found.iuv[..., 0] > 0
        stated.append(found.confidence[body] / 255)
        right.append((found.iuv[..., 0] == person.iuv[..., 0])[body])
    confidence, correct = np.concatenate(stated), np.concatenate(right)
    thirds = np.array_split(np.argsort(confidence, kind="stable"), 3)
    shares = [correct[third].mean() for third in thirds]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] - shares[0] > 0.2
    assert all(confidence[third].mean() < share + 0.05 for third, share in zip(thirds, shares, strict=True))


def test_confidence_falls_with_the_certainty_of_joints_and_of_facing() -> None:
    person = rendered_people(6)[0]
    mask = 0.02 + 0.96 * person.mask
    sure = person_map(person.skeleton, mask).confidence[person.mask > 0].mean()
    unsure = replace(person.skeleton, certainty=np.full(21, 0.1))
    assert person_map(unsure, mask).confidence[person.mask > 0].mean() < 0.7 * sure
    either = replace(person.skeleton, facing=0.5)
    halved = person_map(either, mask).confidence[person_map(either, mask).iuv[..., 0] > 0].mean()
    assert halved < 0.55 * sure


def test_every_part_of_the_body_has_a_capsule() -> None:
    assert sorted(capsule.part for capsule in CAPSULES) == [part for part in Part if part not in (Part.SKIRT, Part.BAG)]
    assert (LINES[1:, [1, 3]] != 0).all()
    assert placing.PARTS[0] == Part.TORSO
