"""The shots of the synthetic dataset: the identity, camera and view of each of its images.

Everything that is sampled has a random generator of its own, seeded by what it is for, so that nothing depends on the
order of rendering or on the number of workers.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from . import composition
from .config import SynthConfig
from .people import Person, changed_clothes, sample_person
from .render import Scene
from .scenery import Camera, sample_camera

TRAIN, QUERY, TEST = "bounding_box_train", "query", "bounding_box_test"
# Purposes of random generators; the seed of a generator is the dataset's seed, its purpose, and the identity or image.
LOOK, MARKS, CAMERA, PLAN, IMAGE, OUTFIT, WORN = range(7)
# Groups of identities; an identity is a group and a number.
TRAINED, TESTED, DISTRACTOR = range(3)


@dataclass(frozen=True)
class Shot:
    """An image to be rendered: the `index`-th image of the identity (group, number)."""

    folder: str
    pid: int
    group: int
    number: int
    index: int
    camid: int  # from 1
    turn: float  # radians: 0 from the front, a quarter circle from the person's right
    crop: str = composition.USUAL
    clothes: int = 1  # number of the outfit

    @property
    def stem(self) -> str:
        """The file's name without its suffix, as in Market-1501; the outfit is where that has the sequence."""
        pid = f"{self.pid:04d}" if self.pid >= 0 else str(self.pid)
        return f"{pid}_c{self.camid}s{self.clothes}_{self.index:06d}_01"

    @property
    def key(self) -> str:
        """The image's path under the root."""
        return f"{self.folder}/{self.stem}.jpg"

    @property
    def iuv(self) -> str:
        """The path of its I, U, V map under the root."""
        return f"iuv/{self.folder}/{self.stem}_IUV.png"


def plan(settings: SynthConfig) -> list[list[Shot]]:
    """Return all shots, in groups that are rendered together: those of one identity, or some distractors."""
    groups = [_train_shots(settings, number) for number in range(settings.train_identities)]
    groups += [_test_shots(settings, number) for number in range(settings.test_identities)]
    others = [_distractor(settings, number) for number in range(settings.distractors)]
    others += [_junk(settings, index) for index in range(settings.junk)]
    groups += [others[start : start + 8] for start in range(0, len(others), 8)]
    return groups


def twin_of(settings: SynthConfig, group: int, number: int) -> int | None:
    """Return the number of the identity that differs only in marks and the bag's colours; None if there is none.

    Identities 2k and 2k + 1 of training or of test are twins while k < twins x identities / 2.
    """
    count = {TRAINED: settings.train_identities, TESTED: settings.test_identities}.get(group, 0)
    return number ^ 1 if number // 2 < math.floor(settings.twins * count / 2) else None


def person_of(settings: SynthConfig, group: int, number: int, clothes: int = 1) -> Person:
    """Sample an identity in one of its outfits; it depends on the seed, its group, its number and the outfit alone."""
    twin = twin_of(settings, group, number)
    first = number if twin is None else min(number, twin)
    own = _generator(settings, MARKS, group, number)
    look = _generator(settings, LOOK, group, first)
    person = sample_person(look, own, settings.marks, (settings.mark_min, settings.mark_max))
    return person if clothes == 1 else changed_clothes(person, _generator(settings, OUTFIT, group, first, clothes))


def scene_of(settings: SynthConfig, shot: Shot, person: Person | None = None) -> Scene:
    """Sample the scene of a shot."""
    generator = _generator(settings, IMAGE, shot.group, shot.number, shot.index)
    return composition.compose(
        person or person_of(settings, shot.group, shot.number, shot.clothes),
        _camera(settings.seed, shot.camid),
        shot.turn,
        settings.height,
        settings.width,
        generator,
        composition.Chances(settings.occluded, settings.badly_cropped),
        shot.crop,
    )


def _train_shots(settings: SynthConfig, number: int) -> list[Shot]:
    generator = _generator(settings, PLAN, TRAINED, number)
    cameras = generator.permutation(settings.cameras) + 1
    turns = generator.uniform(0, 2 * math.pi, settings.train_pictures)
    worn = _worn(settings, TRAINED, number, len(turns))
    return [
        Shot(TRAIN, number + 1, TRAINED, number, i, int(cameras[i % len(cameras)]), float(turn), clothes=worn[i])
        for i, turn in enumerate(turns)
    ]


def _test_shots(settings: SynthConfig, number: int) -> list[Shot]:
    """Return the queries and gallery images of a test identity.

    Each query has a match by another camera from nearly the same side; the next gallery images show the other sides.
    Queries wear the outfits in turn, and the gallery about as many images of each.
    """
    generator = _generator(settings, PLAN, TESTED, number)
    cameras = generator.permutation(settings.cameras) + 1
    pid = settings.train_identities + number + 1
    query_turns = generator.uniform(0, 2 * math.pi, settings.queries)
    worn = [1 + i % settings.clothes for i in range(settings.queries)]
    worn += _worn(settings, TESTED, number, settings.gallery)
    shots = []
    for i in range(settings.queries + settings.gallery):
        j = i - settings.queries  # index among the gallery images; negative for a query
        folder, camera, turn = QUERY, cameras[i % len(cameras)], query_turns[i % settings.queries]
        if j >= 0:
            folder, camera = TEST, cameras[(j + 1) % len(cameras)]
            apart = (-0.5, 0.5) if j < settings.queries else (0.5 * math.pi, 1.5 * math.pi)
            turn = query_turns[j % settings.queries] + generator.uniform(*apart)
        shots.append(Shot(folder, pid, TESTED, number, i, int(camera), float(turn % (2 * math.pi)), clothes=worn[i]))
    return shots


def _worn(settings: SynthConfig, group: int, number: int, count: int) -> list[int]:
    """Return the outfit of each of an identity's images: each outfit about as often, in random order."""
    order = _generator(settings, WORN, group, number).permutation(count) % settings.clothes
    return [1 + int(outfit) for outfit in order]


def _distractor(settings: SynthConfig, number: int) -> Shot:
    generator = _generator(settings, PLAN, DISTRACTOR, number)
    camera, turn = int(generator.integers(settings.cameras)) + 1, float(generator.uniform(0, 2 * math.pi))
    crop = composition.EMPTY if generator.random() < 0.2 else composition.USUAL
    return Shot(TEST, 0, DISTRACTOR, number, number, camera, turn, crop)


def _junk(settings: SynthConfig, index: int) -> Shot:
    number = index % settings.test_identities
    index += settings.queries + settings.gallery  # follows the identity's other images
    generator = _generator(settings, PLAN, TESTED, number, index)
    camera, turn = int(generator.integers(settings.cameras)) + 1, float(generator.uniform(0, 2 * math.pi))
    return Shot(TEST, -1, TESTED, number, index, camera, turn, composition.JUNK)


def _generator(settings: SynthConfig, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *purpose])


@functools.cache
def _camera(seed: int, camid: int) -> Camera:
    return sample_camera(np.random.default_rng([seed, CAMERA, camid]))
