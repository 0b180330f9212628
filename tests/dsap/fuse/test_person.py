"""One person: exchanged limbs are found by the layout and by the colours of the other images."""

import dataclasses

import numpy as np
import pytest

from crowd import Crowd
from dsap.fuse import person as one_person
from dsap.fuse.exchange import LIMBS, exchanged
from dsap.fuse.judge import probability_exchanged
from dsap.fuse.person import corrected, fuse, judge_alone


@pytest.mark.parametrize("limbs", LIMBS)
def test_one_exchanged_map_of_six_stands_out(crowd: Crowd, limbs: str) -> None:
    found, false, higher = [], [], []
    for images, maps in crowd:
        wrong = [exchanged(iuv, limbs) if n == 2 else iuv for n, iuv in enumerate(maps)]
        evidence = [one[limbs] for one in fuse(images, wrong, 16).evidence]
        found.append(evidence[2].exchanged)
        false += [one.exchanged for n, one in enumerate(evidence) if n != 2]
        higher += [evidence[2].probability > one.probability for n, one in enumerate(evidence) if n != 2]
    assert np.mean(higher) > 0.85
    assert np.mean(found) >= {"arms": 0.6, "legs": 0.3}[limbs]
    assert np.mean(false) <= 0.05


def test_colours_decide_where_the_layout_says_nothing(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the left sleeves of all images painted red, exchanged arms are known by their colour."""
    monkeypatch.setattr(one_person, "sides", lambda iuv, limbs: (0.0, 0.0))
    nearer: dict[bool, list[float]] = {True: [], False: []}
    for images, maps in crowd[:4]:
        painted = [image.copy() for image in images]
        for image, iuv in zip(painted, maps, strict=True):
            image[np.isin(iuv[..., 0], LIMBS["arms"][0])] = [220, 20, 20]
        wrong = [exchanged(iuv, "arms") if n == 1 else iuv for n, iuv in enumerate(maps)]
        for n, evidence in enumerate(fuse(painted, wrong, 32).evidence):
            nearer[n == 1].append(evidence["arms"].nearer)
    assert np.median(nearer[True]) > 0.5
    assert np.median(nearer[False]) < -0.5


def test_an_image_is_not_compared_with_itself(crowd: Crowd) -> None:
    images, maps = crowd[0]
    for evidence in fuse(images[:1], maps[:1], 16).evidence:
        assert evidence == judge_alone(maps[0])
    assert fuse(images, maps, 16).evidence[0]["arms"].nearer != 0


def test_an_image_without_a_person_changes_nothing(crowd: Crowd) -> None:
    images, maps = crowd[1]
    empty = np.zeros_like(maps[0])
    fused = fuse(images[:3], maps[:3], 16)
    more = fuse([*images[:3], images[3]], [*maps[:3], empty], 16)
    assert more.evidence[:3] == fused.evidence
    assert not more.evidence[3]["arms"].exchanged
    assert (more.surface.count == fused.surface.count).all()


def test_the_surface_is_that_of_the_person(crowd: Crowd) -> None:
    """Each image agrees with the surface of all better than with another person's."""
    images, maps = crowd[0]
    surface = fuse(images, maps, 16).surface
    other = fuse(*crowd[2], 16).surface
    both = (surface.count > 2) & (other.count > 2)
    between = np.abs(surface.mean.astype(int) - other.mean)[both].mean()
    assert surface.spread[both].mean() < between
    assert surface.count.max() <= len(images)
    assert not surface.mean[surface.count == 0].any()


def test_more_evidence_is_a_higher_probability() -> None:
    for limbs in LIMBS:
        base = probability_exchanged(limbs, 0, 0)
        assert base < 0.5
        assert probability_exchanged(limbs, -0.2, 0) > base > probability_exchanged(limbs, 0.2, 0)
        assert probability_exchanged(limbs, 0, -1) > base > probability_exchanged(limbs, 0, 1)
        assert probability_exchanged(limbs, 0, 0, 2.0) > base > probability_exchanged(limbs, 0, 0, -2.0)
        assert 0 < probability_exchanged(limbs, 1e9, 0) < probability_exchanged(limbs, -1e9, 0) <= 1


def test_correction_exchanges_what_is_likely_exchanged(crowd: Crowd) -> None:
    iuv = crowd[0][1][0]
    found = judge_alone(iuv)
    sure = {limbs: dataclasses.replace(one, probability=0.51) for limbs, one in found.items()}
    assert (corrected(iuv, sure) == exchanged(exchanged(iuv, "arms"), "legs")).all()
    unsure = {limbs: dataclasses.replace(one, probability=0.5) for limbs, one in found.items()}
    assert corrected(iuv, unsure) is iuv
