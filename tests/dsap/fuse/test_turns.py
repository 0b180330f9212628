"""Maps that are turned around as a whole: found by the colours of the other images, and by nothing else."""

import numpy as np
import pytest

from crowd import Crowd
from dsa_data.turning import turned
from dsap.fuse.judge import probability_turned
from dsap.fuse.layout import sides
from dsap.fuse.person import fuse, judge_alone
from dsap.fuse.turns import PARTS, Turn, find_turns, no_clue

SHARE = 0.05


def test_one_turned_map_of_six_is_found(crowd: Crowd) -> None:
    found, false, higher = [], [], []
    for images, maps in crowd:
        turns = find_turns(images, [turned(iuv) if n == 2 else iuv for n, iuv in enumerate(maps)], 16, SHARE)
        found.append(turns[2].turned)
        others = [turn for n, turn in enumerate(turns) if n != 2]
        false += [turn.turned for turn in others]
        higher += [turns[2].probability > turn.probability for turn in others]
    assert np.mean(higher) > 0.85
    assert np.mean(found) >= 0.3
    assert np.mean(false) <= 0.06


def test_few_true_maps_are_taken_for_turned_ones(crowd: Crowd) -> None:
    turns = [turn.turned for images, maps in crowd for turn in find_turns(images, maps, 16, SHARE)]
    assert sum(turns) <= 2  # of 48


def test_the_fused_maps_and_the_surface_are_those_of_the_map_turned_back(crowd: Crowd) -> None:
    agree = 0
    for images, maps in crowd:
        wrong = [turned(iuv) if n == 2 else iuv for n, iuv in enumerate(maps)]
        made, true = fuse(images, wrong, 16, SHARE), fuse(images, maps, 16)
        assert not true.turns
        if made.turns[2].turned:
            # V of the upper arms may be 1 off after two turns.
            off = np.abs(made.surface.mean.astype(int) - true.surface.mean).mean()
            assert off < 0.5
            agree += 1
    assert agree >= 3


def test_a_map_that_is_turned_agrees_with_itself(crowd: Crowd) -> None:
    """The layout, by which exchanged limbs are found, says the same: the colours alone can tell."""
    for _, maps in crowd:
        for iuv in maps:
            for limbs in ("arms", "legs"):
                assert np.allclose(sides(turned(iuv), limbs), sides(iuv, limbs), atol=0.02)


def test_a_face_is_known_by_its_colour(crowd: Crowd) -> None:
    """All grey but for one half of the head, which is red where the true map says that the face is."""
    images, maps = crowd[0]
    painted = []
    for image, iuv in zip(images, maps, strict=True):
        behind = np.where(iuv[..., 0] == 23, 255 - iuv[..., 1], iuv[..., 1])
        face = np.isin(iuv[..., 0], PARTS["head"]) & (behind < 100)
        painted.append(np.where(face[..., None], np.uint8([220, 60, 60]), np.full_like(image, 100)))
    wrong = [turned(iuv) if n == 1 else iuv for n, iuv in enumerate(maps)]
    turns = find_turns(painted, wrong, 16, SHARE)
    assert [turn.turned for turn in turns] == [n == 1 for n in range(len(maps))]
    assert turns[1].head > 0.5 > 0.01 > max(turn.head for n, turn in enumerate(turns) if n != 1)
    assert all(abs(turn.torso) < 1e-6 for turn in turns)


def test_alone_nothing_is_turned(crowd: Crowd) -> None:
    images, maps = crowd[0]
    for image, iuv in zip(images, maps, strict=True):
        (turn,) = find_turns([image], [turned(iuv)], 16, 0.49)
        assert turn == no_clue(0.49)
        assert not turn.turned
        assert fuse([image], [iuv], 16, SHARE).evidence == [judge_alone(iuv)]


def test_of_two_images_that_contradict_each_other_one_is_turned_at_most(crowd: Crowd) -> None:
    for images, maps in crowd:
        turns = find_turns([images[0], images[0]], [maps[0], turned(maps[0])], 16, 0.45)
        assert sum(turn.turned for turn in turns) <= 1


def test_images_without_a_person_say_nothing(crowd: Crowd) -> None:
    images, maps = crowd[1]
    turns = find_turns([*images, images[0]], [*maps, np.zeros_like(maps[0])], 16, SHARE)
    assert turns[-1] == no_clue(SHARE)
    assert find_turns([], [], 16, SHARE) == []


def test_more_evidence_is_a_higher_probability() -> None:
    assert no_clue(0.2).probability == pytest.approx(0.2)
    for n in range(3):
        clue = [0.0, 0.0, 0.0]
        clue[n] = 0.3
        assert probability_turned(clue, 0.05) > 0.05 > probability_turned([-value for value in clue], 0.05)
        assert probability_turned(clue, 0.1) > probability_turned(clue, 0.05)
    assert Turn(0, 0, 0, 0.51).turned
    assert not Turn(0, 0, 0, 0.5).turned
