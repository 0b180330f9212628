"""Settings of stage one: the engine that makes the I, U, V maps, and the recipe of the network engines."""

from __future__ import annotations

import dataclasses
from typing import Literal

from pydantic import Field

from dsa_app.config import config

from .recipe import Recipe


@config
class EstimatorErrors:
    """How often and how much the estimator errs; the defaults are those of hard crops (docs/design/, D-062).

    Every error is multiplied by `rate`: 1 is realistic, 0 the truth, 2 twice as bad. With the same seed, parts that are
    lost at one rate are lost at every higher rate.

    Attributes:
        rate: multiplies every error.
        missed: share of people who are not detected at all.
        lost_limb: probability that an arm, a leg or the head is taken for background.
        lost_chart: the same for each of the 24 charts.
        swapped: probability that left and right arms are exchanged; the same for the legs.
        turned: probability that the whole person is taken for one turned around, a back for a front or a front for a
            back. 0, the default, as it was not measured how often estimators do so.
        offset: standard deviation of u and v, in steps of the map's bytes (0..255), that is smooth over a chart.
        noise: the same, independent for each pixel.
        outline: standard deviation of the displacement of outlines, as a share of the image's height.
        seed: of the random numbers.
        known: with `extract.confidence`, how well the estimator knows its own errors: the probability that it is surer
            of what is right than of what is wrong (the area under the ROC curve). 0.5 is not at all; with any value the
            probabilities that it states are right on average. Without `extract.confidence` it has no effect.
    """

    rate: float = Field(default=1.0, ge=0)
    missed: float = Field(default=0.15, ge=0, le=1)
    lost_limb: float = Field(default=0.06, ge=0, le=1)
    lost_chart: float = Field(default=0.06, ge=0, le=1)
    swapped: float = Field(default=0.08, ge=0, le=1)
    turned: float = Field(default=0.0, ge=0, le=1)
    offset: float = Field(default=12.0, ge=0, le=255)
    noise: float = Field(default=3.0, ge=0, le=255)
    outline: float = Field(default=0.01, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    known: float = Field(default=0.75, ge=0.5, lt=1)


@config
class ExtractConfig(Recipe):
    """Section "extract" of the settings, with the recipe of the network engines.

    Attributes:
        engine: auto is `rendered` for a synthetic dataset and `native` for any other. `average` is a control: the
            average person's map for every image.
        checkpoint: a checkpoint's name, or the path of its file.
        sha256: the checkpoint's digest, to pin it: a file with another digest is refused.
        vertices: for `native` with a model of embeddings (CSE), the table with chart, u and v of each vertex
            (`densepose-extract vertices`); its bytes identify the maps.
        device: auto is the GPU if there is one; under torchrun each process takes its own.
        precision: of the network; boxes and regions are float32 in either case.
        maps: for `import`, the folder with *_IUV.png, or a dump of apply_net.py, *.pkl, or a folder of them; the bytes
            of the maps identify them, not this path. For `average`, the store (iuv.h5) whose maps of training images
            are averaged.
        channels: for `import`, whether the chart is the first (rgb) or the last (bgr) channel when read as RGB; auto
            decides by the values.
        allow_missing: for `import` and `keypoints`: an image that has none counts as no person detected.
        pose_model: for `pose`, the file of the landmark network or a wheel of mediapipe 0.10.21; by default that of an
            installed mediapipe, or a download.
        keypoints: for `keypoints`, the file or folder of COCO's 17 keypoints; their values identify the maps.
        masks: for `keypoints`, the folder of the person masks; without it each map is as wide as an average body.
        mapping: for `import` of part masks, which chart each label is: a YAML file, or the name of a mapping that comes
            with the project. The store then has I alone.
        scores: for `import`, a CSV file with the scores of the maps, or how sure they are.
        errors: for `rendered`, the errors of the estimator; with `errors.rate` 0 the maps are the true ones.
        bits: of u and of v in the store. 8 puts 5.8% of the pixels one texel aside at S = 32 (docs/formats.md), 16
            none. 16 bits take 7 bytes a pixel in place of 3, before compression.
        confidence: the store holds how sure each pixel is: for `native` the probability of its chart by the network's
            softmax, with a model "with confidence" (WC1, WC2) times that of its u and v; for `rendered` what an
            estimator that makes `errors` could know of them. Stores of `pose` and
            `keypoints` always hold it.
    """

    engine: Literal["auto", "native", "detectron2", "rendered", "import", "average", "pose", "keypoints"] = "auto"
    checkpoint: str = "R_50_FPN_s1x"
    sha256: str | None = None
    vertices: str | None = None
    device: str = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    maps: str | None = None
    channels: Literal["auto", "rgb", "bgr"] = "auto"
    allow_missing: bool = False
    pose_model: str | None = None
    keypoints: str | None = None
    masks: str | None = None
    mapping: str | None = None
    scores: str | None = None
    errors: EstimatorErrors = EstimatorErrors()
    bits: Literal[8, 16] = 8
    confidence: bool = False

    @property
    def recipe(self) -> Recipe:
        """Return the settings that the network engines take."""
        return Recipe(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Recipe)})
