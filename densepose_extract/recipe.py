"""How a network engine treats a crop: sizes, thresholds, and the map where no person is detected."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsa_app.config import config


@config
class Recipe:
    """Settings for re-ID crops; detectron2's own defaults are named where they differ.

    Attributes:
        min_size: pixels of the shortest side of a resized image (detectron2: 800, at which a person in a small crop is
            larger than the largest anchor).
        max_size: limit of its longest side.
        score_threshold: people who score no higher are dropped.
        detections: people kept an image (detectron2: 100).
        proposals: boxes kept after suppression (detectron2: 1000).
        batch: images of 256 × 512 in a batch; fewer of larger ones, so that memory is bounded.
        missing: where no person is detected, take the whole crop as the box ("fallback"), or leave the map empty.
    """

    min_size: int = Field(default=256, ge=32)
    max_size: int = Field(default=1333, ge=32)
    score_threshold: float = Field(default=0.05, ge=0, lt=1)
    detections: int = Field(default=5, ge=1)
    proposals: int = Field(default=100, ge=1)
    batch: int = Field(default=16, ge=1)
    missing: Literal["fallback", "none"] = "fallback"
