"""The settings of the probe; importing them does not import torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config


@config
class ProbeConfig:
    """How pooled features are compared; section "probe" of a params file.

    Attributes:
        seeds: region heads that are fitted from different seeds; their results are averaged.
        channels: maps with more channels are projected on so many principal components of the training images.
        steps, cells, rate: of its fit: steps of so many sampled cells, and Adam's learning rate.
        ridges: of the discriminant analysis, of which the best is taken by mAP on held-out training identities.
        held_out: share of the training identities that are held out for that.
        dimensions: of the discriminant analysis, at most.
        resamples: of the test identities, for the intervals.
        batch: images that go through the trunk together.
        device: "auto" is the first GPU, else the CPU.
        seed: of everything that is sampled.
        threads: of the CPU; 0 leaves torch's choice.
    """

    seeds: PositiveInt = 2
    channels: PositiveInt = 128
    steps: PositiveInt = 600
    cells: PositiveInt = 4096
    rate: PositiveFloat = 3e-3
    ridges: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.03, 0.1, 0.3, 1.0)
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.25
    dimensions: PositiveInt = 256
    resamples: PositiveInt = 4000
    batch: PositiveInt = 64
    device: str = "auto"
    seed: NonNegativeInt = 0
    threads: NonNegativeInt = 0
