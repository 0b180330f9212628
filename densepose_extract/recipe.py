"""How a network engine looks at a crop: sizes, thresholds, and what to do where nobody is found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsa_app.config import config


@config
class Recipe:
    """Settings made for re-ID crops; detectron2's own defaults are named where they differ.

    `min_size`, `max_size`: pixels of the shortest side of a resized picture, and the limit of its longest
    (detectron2: 800, 1333; at 800 a 64-pixel crop is blown past the largest anchor).
    `proposals`: kept after suppression (detectron2: 1000). `detections`: people kept a picture (detectron2: 100).
    `score_threshold`: people who score no higher are not seen.
    `batch`: pictures of 256 × 512 in a batch; fewer of larger ones, so that memory is bounded.
    `missing`: where nobody is found, take the whole crop as the box, or leave the map empty.
    """

    min_size: int = Field(default=256, ge=32)
    max_size: int = Field(default=1333, ge=32)
    score_threshold: float = Field(default=0.05, ge=0, lt=1)
    detections: int = Field(default=5, ge=1)
    proposals: int = Field(default=100, ge=1)
    batch: int = Field(default=16, ge=1)
    missing: Literal["fallback", "none"] = "fallback"
