"""Rendered images and their I, U, V: the mirror table, occlusion, and twins."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dsa_data.synthetic.appearance import Bag
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import mirror_scene, render
from dsa_data.synthetic.scenery import sample_occluder
from dsa_data.synthetic.shots import TESTED, TRAINED, person_of, plan, scene_of, twin_of

SETTINGS = SynthConfig(train_identities=8, test_identities=4, distractors=4, junk=2, occluded=0.3)
NO_BAG = Bag((0, 0, 0), (0, 0, 0))
SHOTS = [shot for group in plan(SETTINGS) for shot in group]


def flipped_by_table(iuv: np.ndarray) -> np.ndarray:
    """The map of the flipped image: the table of docs/design/contracts.md, a row each."""
    flipped = iuv[:, ::-1].copy()
    chart, u, v = (flipped[..., channel].astype(int) for channel in range(3))
    partner = np.where(chart % 2, chart + 1, chart - 1)
    torso, ends = np.isin(chart, (1, 2)), np.isin(chart, (3, 4, 5, 6, 23, 24))
    chart = np.where(torso | (chart == 0), chart, partner)
    return np.stack([chart, np.where(ends, 255 - u, u), np.where(torso, 255 - v, v)], axis=-1).astype(np.uint8)


def test_the_mirrored_scene_is_the_flipped_image() -> None:
    agree = []
    for shot in SHOTS:
        scene = scene_of(SETTINGS, shot)
        image, iuv = render(scene)
        mirror_image, mirror_iuv = render(mirror_scene(scene))
        difference = np.abs(image[:, ::-1].astype(int) - mirror_image)
        assert difference.max() <= 2
        expected = flipped_by_table(iuv)
        body = (expected[..., 0] > 0) | (mirror_iuv[..., 0] > 0)
        agree.append((expected == mirror_iuv).all(axis=-1)[body])
    assert np.concatenate(agree).mean() > 0.9995


def test_mirroring_twice_gives_the_scene_back() -> None:
    scene = scene_of(SETTINGS, SHOTS[0])
    for first, second in zip(render(scene), render(mirror_scene(mirror_scene(scene))), strict=True):
        np.testing.assert_array_equal(first, second)


def test_maps_have_the_values_of_the_contract() -> None:
    seen = set()
    for shot in SHOTS:
        image, iuv = render(scene_of(SETTINGS, shot))
        assert image.shape == iuv.shape == (128, 64, 3)
        assert image.dtype == iuv.dtype == np.uint8
        assert iuv[..., 0].max() <= 24
        assert not iuv[iuv[..., 0] == 0].any()  # U = V = 0 off the body
        seen |= set(np.unique(iuv[..., 0]).tolist())
    assert seen == set(range(25))


def test_an_empty_box_has_no_person() -> None:
    empty = [shot for shot in plan(SynthConfig(train_identities=1, test_identities=1))[2] if shot.crop == "empty"]
    assert not render(scene_of(SETTINGS, empty[0]))[1].any()


def test_an_occluder_hides_the_body() -> None:
    scene = replace(scene_of(SETTINGS, SHOTS[0]), occluder=None)
    occluder, mask = sample_occluder(np.random.default_rng(1), 128, 64)
    _, free = render(scene)
    _, hidden = render(replace(scene, occluder=(occluder, mask)))
    assert mask.any()
    assert not hidden[mask].any()
    np.testing.assert_array_equal(hidden[~mask], free[~mask])


@pytest.mark.parametrize("group", [TRAINED, TESTED])
def test_twins_differ_only_in_marks_and_bag(group: int) -> None:
    settings = replace(SETTINGS, twins=1.0)
    shot = next(shot for shot in SHOTS if shot.group == group)
    twin = twin_of(settings, group, shot.number)
    assert twin == shot.number ^ 1
    one, other = person_of(settings, group, shot.number), person_of(settings, group, twin)
    assert one.body.build == other.body.build
    assert replace(one.appearance, marks=(), bag=NO_BAG) == replace(other.appearance, marks=(), bag=NO_BAG)
    assert one.appearance.marks != other.appearance.marks
    first, iuv = render(scene_of(settings, shot, one))
    second, other_iuv = render(scene_of(settings, shot, other))
    np.testing.assert_array_equal(iuv, other_iuv)
    differs = (np.abs(first.astype(int) - second) > 8).any(axis=-1)
    assert 0 < differs.sum() < 0.35 * (iuv[..., 0] > 0).sum()


def test_the_bags_of_twins_differ_outside_all_charts() -> None:
    settings = SynthConfig(train_identities=40, twins=1.0, marks=1, occluded=0)
    with_bag, differing = 0, []
    for group in plan(settings)[0:40:2]:
        one, other = (person_of(settings, TRAINED, group[0].number ^ twin) for twin in (0, 1))
        assert (one.appearance.straps == "none") == (one.body.build.bag == "none")
        if one.body.build.bag == "none":
            continue
        with_bag += 1
        assert one.appearance.strap == other.appearance.strap  # straps are on charts 1 and 2
        assert one.appearance.bag != other.appearance.bag
        marks = replace(other.appearance, marks=one.appearance.marks)
        for shot in group:
            scene = scene_of(settings, shot, one)
            first, iuv = render(scene)
            second, _ = render(replace(scene, appearance=marks))
            differs = (np.abs(first.astype(int) - second) > 24).any(axis=-1)
            differing.append(differs.sum())
            grown = cv2.dilate(
                (iuv[..., 0] == 0).astype(np.uint8), np.ones((7, 7))
            )  # by the reach of the camera's blur
            assert grown[differs].all()
    assert 5 <= with_bag <= 15  # of twenty pairs
    assert np.mean(np.array(differing) > 20) > 0.5  # pixels: the bag is seen from behind and from the sides


def test_the_share_of_twins() -> None:
    settings = replace(SETTINGS, twins=0.5)
    twins = [twin_of(settings, TRAINED, number) for number in range(8)]
    assert twins == [1, 0, 3, 2, None, None, None, None]
    assert person_of(settings, TRAINED, 4).body.build != person_of(settings, TRAINED, 5).body.build


def test_an_identity_does_not_depend_on_the_cameras() -> None:
    for number in range(4):
        one, other = (person_of(replace(SETTINGS, cameras=cameras), TRAINED, number) for cameras in (2, 9))
        assert one.appearance == other.appearance
        assert one.body.build == other.body.build
