"""Which pictures the synthetic dataset consists of: whose, by which camera, from which side.

Each thing that is drawn has a random generator of its own, seeded with what it is, so that nothing depends on the
order or on the number of workers.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import pydantic
from pydantic import Field

from dsa_app.config import config

from . import composition
from .people import Person, draw_person
from .render import Scene
from .scenery import Camera, draw_camera

TRAIN, QUERY, TEST = "bounding_box_train", "query", "bounding_box_test"
# What a random generator is for; with the seed and the picture's place it makes the generator's seed.
LOOK, MARKS, CAMERA, PLAN, PICTURE = range(5)
# Whose it is.
TRAINED, TESTED, DISTRACTOR = range(3)


@config
class SynthConfig:
    """What is drawn. The defaults are the benchmark's; the demo draws less (params.yaml)."""

    seed: int = Field(1, ge=0)
    train_identities: int = Field(300, ge=1)
    test_identities: int = Field(100, ge=1)
    train_pictures: int = Field(6, ge=2)  # of an identity
    queries: int = Field(2, ge=1)  # of a test identity, each by another camera while there are enough
    gallery: int = Field(4, ge=2)  # of a test identity
    distractors: int = Field(100, ge=0)  # pictures of people who are in no query, or of nobody
    junk: int = Field(20, ge=0)  # useless boxes around test identities
    cameras: int = Field(6, ge=2, le=9)
    height: int = Field(128, ge=32, le=1024)
    width: int = Field(64, ge=16, le=1024)
    twins: float = Field(
        1.0, ge=0, le=1
    )  # share of identities that differ from another in marks and bag's colours alone
    marks: int = Field(7, ge=1, le=50)  # on a person
    mark_min: float = Field(5.0, gt=0, le=30)  # centimetres across
    mark_max: float = Field(11.0, gt=0, le=30)
    occluded: float = Field(0.15, ge=0, le=1)  # share of pictures
    badly_cropped: float = Field(0.2, ge=0, le=1)
    quality: int = Field(90, ge=1, le=100)  # of the JPEG

    @pydantic.field_validator("gallery")
    @classmethod
    def _answers_each_query(cls, gallery: int, info: pydantic.ValidationInfo) -> int:
        if gallery < info.data.get("queries", 0):
            raise ValueError("each query has its answer in the gallery, so gallery must be at least queries")
        return gallery

    @pydantic.field_validator("test_identities")
    @classmethod
    def _fits_four_digits(cls, tested: int, info: pydantic.ValidationInfo) -> int:
        if tested + info.data.get("train_identities", 0) > 9999:
            raise ValueError("names have four digits for the identity: draw at most 9999 identities in all")
        return tested

    @pydantic.field_validator("mark_max")
    @classmethod
    def _is_a_range(cls, greatest: float, info: pydantic.ValidationInfo) -> float:
        if greatest < info.data.get("mark_min", 0):
            raise ValueError("mark_max must be at least mark_min")
        return greatest


@dataclass(frozen=True)
class Shot:
    """A picture to be taken; (group, number) is whose it is, and index which of theirs."""

    folder: str
    pid: int
    group: int
    number: int
    index: int
    camid: int  # from 1
    turn: float  # radians: 0 from the front, a quarter circle from the person's right
    crop: str = composition.USUAL

    @property
    def stem(self) -> str:
        """The file's name without its ending, as in Market-1501."""
        pid = f"{self.pid:04d}" if self.pid >= 0 else str(self.pid)
        return f"{pid}_c{self.camid}s1_{self.index:06d}_01"

    @property
    def key(self) -> str:
        """The picture's path under the root."""
        return f"{self.folder}/{self.stem}.jpg"

    @property
    def iuv(self) -> str:
        """The path of its I, U, V under the root."""
        return f"iuv/{self.folder}/{self.stem}_IUV.png"


def plan(settings: SynthConfig) -> list[list[Shot]]:
    """Return all pictures to take, in groups to be drawn together: one identity's, or some distractors."""
    groups = [_train_shots(settings, number) for number in range(settings.train_identities)]
    groups += [_test_shots(settings, number) for number in range(settings.test_identities)]
    loose = [_distractor(settings, number) for number in range(settings.distractors)]
    loose += [_junk(settings, index) for index in range(settings.junk)]
    groups += [loose[start : start + 8] for start in range(0, len(loose), 8)]
    return groups


def twin_of(settings: SynthConfig, group: int, number: int) -> int | None:
    """Return the number of the identity that looks the same but for marks and the bag's colours, or None.

    Identities 2k and 2k + 1 of training or of test are twins while k < twins x identities / 2.
    """
    count = {TRAINED: settings.train_identities, TESTED: settings.test_identities}.get(group, 0)
    return number ^ 1 if number // 2 < math.floor(settings.twins * count / 2) else None


def person_of(settings: SynthConfig, group: int, number: int) -> Person:
    """Draw an identity; the same for the same seed, whatever else is drawn."""
    twin = twin_of(settings, group, number)
    look = _generator(settings, LOOK, group, number if twin is None else min(number, twin))
    own = _generator(settings, MARKS, group, number)
    return draw_person(look, own, settings.marks, (settings.mark_min, settings.mark_max))


def scene_of(settings: SynthConfig, shot: Shot, person: Person | None = None) -> Scene:
    """Compose the scene of a shot."""
    generator = _generator(settings, PICTURE, shot.group, shot.number, shot.index)
    return composition.compose(
        person or person_of(settings, shot.group, shot.number),
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
    return [
        Shot(TRAIN, number + 1, TRAINED, number, i, int(cameras[i % len(cameras)]), float(turn))
        for i, turn in enumerate(turns)
    ]


def _test_shots(settings: SynthConfig, number: int) -> list[Shot]:
    """Each query's first answer is by another camera from nearly the same side; its second shows the other side."""
    generator = _generator(settings, PLAN, TESTED, number)
    cameras = generator.permutation(settings.cameras) + 1
    pid = settings.train_identities + number + 1
    asked = generator.uniform(0, 2 * math.pi, settings.queries)
    shots = []
    for i in range(settings.queries + settings.gallery):
        j = i - settings.queries  # which of the gallery
        folder, camera, turn = QUERY, cameras[i % len(cameras)], asked[i % settings.queries]
        if j >= 0:
            folder, camera = TEST, cameras[(j + 1) % len(cameras)]
            apart = (-0.5, 0.5) if j < settings.queries else (0.5 * math.pi, 1.5 * math.pi)
            turn = asked[j % settings.queries] + generator.uniform(*apart)
        shots.append(Shot(folder, pid, TESTED, number, i, int(camera), float(turn % (2 * math.pi))))
    return shots


def _distractor(settings: SynthConfig, number: int) -> Shot:
    generator = _generator(settings, PLAN, DISTRACTOR, number)
    camera, turn = int(generator.integers(settings.cameras)) + 1, float(generator.uniform(0, 2 * math.pi))
    crop = composition.EMPTY if generator.random() < 0.2 else composition.USUAL
    return Shot(TEST, 0, DISTRACTOR, number, number, camera, turn, crop)


def _junk(settings: SynthConfig, index: int) -> Shot:
    number = index % settings.test_identities
    index += settings.queries + settings.gallery  # this identity's other pictures come before
    generator = _generator(settings, PLAN, TESTED, number, index)
    camera, turn = int(generator.integers(settings.cameras)) + 1, float(generator.uniform(0, 2 * math.pi))
    return Shot(TEST, -1, TESTED, number, index, camera, turn, composition.JUNK)


def _generator(settings: SynthConfig, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *purpose])


@functools.cache
def _camera(seed: int, camid: int) -> Camera:
    return draw_camera(np.random.default_rng([seed, CAMERA, camid]))
