"""Settings of stage one: the engine that makes the I, U, V maps, and the recipe of the network engines."""

from __future__ import annotations

import dataclasses
from typing import Literal

from dsa_app.config import config

from .engines.estimator_errors import EstimatorErrors
from .recipe import Recipe


@config
class ExtractConfig(Recipe):
    """Section "extract" of the settings, with the recipe of the network engines.

    Attributes:
        engine: auto is `rendered` for a synthetic dataset and `native` for any other.
        checkpoint: a checkpoint's name, or the path of its file.
        sha256: the checkpoint's digest, to pin it: a file with another digest is refused.
        device: auto is the GPU if there is one; under torchrun each process takes its own.
        precision: of the network; boxes and regions are float32 in either case.
        maps: for `import`, the folder with *_IUV.png; the bytes of the maps identify them, not this path.
        channels: for `import`, whether the chart is the first (rgb) or the last (bgr) channel when read as RGB; auto
            decides by the values.
        allow_missing: for `import`, an image without a map counts as one in which no person was detected.
        errors: for `rendered`, the errors of the estimator; with `errors.rate` 0 the maps are the true ones.
    """

    engine: Literal["auto", "native", "detectron2", "rendered", "import"] = "auto"
    checkpoint: str = "R_50_FPN_s1x"
    sha256: str | None = None
    device: str = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    maps: str | None = None
    channels: Literal["auto", "rgb", "bgr"] = "auto"
    allow_missing: bool = False
    errors: EstimatorErrors = EstimatorErrors()

    @property
    def recipe(self) -> Recipe:
        """Return the settings that the network engines take."""
        return Recipe(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Recipe)})
