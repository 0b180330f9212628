"""Settings of stage one: which engine makes the I, U, V maps, and how it looks at a picture."""

from __future__ import annotations

import dataclasses
from typing import Literal

from dsa_app.config import config

from .engines.estimator_errors import EstimatorErrors
from .recipe import Recipe


@config
class ExtractConfig(Recipe):
    """Section "extract" of the settings; the recipe of the network engines is part of it.

    Attributes:
        engine: auto is `rendered` for the synthetic dataset and `native` for any other.
        checkpoint: a checkpoint's name, or the path of its file.
        sha256: the checkpoint's digest, if it is pinned: a file of another one is refused.
        device: auto is the GPU if there is one; under torchrun each process takes its own.
        precision: of the network; boxes and regions are in float32 all the same.
        maps: for `import`, the folder with *_IUV.png; it does not count as a setting of the maps, their bytes do.
        channels: for `import`, where the chart is: first (rgb) or last (bgr) when read as RGB; auto looks.
        allow_missing: for `import`, a picture without a map counts as one in which nobody was found.
        errors: for `rendered`, what the estimator gets wrong; `errors.rate` 0 gives the truth.
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
        """Return the part that the network engines take."""
        return Recipe(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Recipe)})
