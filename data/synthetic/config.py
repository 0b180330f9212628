"""The settings of the synthetic dataset: the section `synth`."""

from __future__ import annotations

import pydantic
from pydantic import Field

from dsa_app.config import config


@config
class SynthConfig:
    """What is rendered. The defaults are the benchmark's; the demo renders less (params.yaml)."""

    seed: int = Field(1, ge=0, lt=2**64)  # of the random numbers
    train_identities: int = Field(300, ge=1)  # persons of the training split
    test_identities: int = Field(100, ge=1)  # persons of query and gallery; none of them is in the training split
    train_pictures: int = Field(6, ge=2)  # images of each training identity
    queries: int = Field(2, ge=1)  # of each test identity, by different cameras if there are enough
    gallery: int = Field(4, ge=2)  # images of each test identity
    distractors: int = Field(100, ge=0)  # images of persons without a query, or without a person
    junk: int = Field(20, ge=0)  # useless boxes around test identities
    cameras: int = Field(6, ge=2, le=9)  # each has a colour cast and a background of its own
    height: int = Field(128, ge=32, le=1024)  # of an image, in pixels
    width: int = Field(64, ge=16, le=1024)  # of an image, in pixels
    twins: float = Field(1.0, ge=0, le=1)  # share of identities with a twin: only marks and the bag's colours differ
    marks: int = Field(7, ge=1, le=50)  # on each person
    mark_min: float = Field(5.0, gt=0, le=30)  # the least width of a mark in centimetres
    mark_max: float = Field(11.0, gt=0, le=30)  # the greatest width of a mark in centimetres
    occluded: float = Field(0.15, ge=0, le=1)  # share of images with an object in front of the person
    clothes: int = Field(1, ge=1, le=9)  # outfits of each person, about as many images in each
    badly_cropped: float = Field(0.2, ge=0, le=1)  # share of images with a bad detector box
    quality: int = Field(90, ge=1, le=100)  # of the JPEG

    @pydantic.field_validator("gallery")
    @classmethod
    def _has_a_match_for_each_query(cls, gallery: int, info: pydantic.ValidationInfo) -> int:
        if gallery < info.data.get("queries", 0):
            raise ValueError("gallery must be at least queries, as each query has a match of its own in the gallery")
        return gallery

    @pydantic.field_validator("test_identities")
    @classmethod
    def _fits_four_digits(cls, tested: int, info: pydantic.ValidationInfo) -> int:
        if tested + info.data.get("train_identities", 0) > 9999:
            raise ValueError("at most 9999 identities in all, as file names have four digits for the identity")
        return tested

    @pydantic.field_validator("mark_max")
    @classmethod
    def _is_a_range(cls, greatest: float, info: pydantic.ValidationInfo) -> float:
        if greatest < info.data.get("mark_min", 0):
            raise ValueError("mark_max must be at least mark_min")
        return greatest
